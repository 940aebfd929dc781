import { createRequire } from "node:module";
import type { Socket } from "node:net";
import pg from "pg";
import { camelCase } from "./statement.ts";

/**
 * Statements that travel together: one write to the server and one answer for all, where pg asks for an answer after each. The first
 * that fails makes the server skip those behind it. Outside of BEGIN and COMMIT they are one transaction, which ends with them
 * (https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-PIPELINING).
 */

const INT8_OID = 20;

/** How values come out: int8 as bigint, the others as pg has them. */
export const typeParsers = {
  getTypeParser: ((oid: number, format?: "text" | "binary"): unknown =>
    oid === INT8_OID && format !== "binary"
      ? (value: string) => BigInt(value)
      : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** A prepared statement with its parameters as they travel, and who waits for its answer. */
export interface Passenger {
  readonly name: string;
  readonly text: string;
  readonly values: readonly WireValue[];
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

export interface Answer {
  readonly rows: object[];
  /** What the server says that it did: `COMMIT`, `SELECT 3`. */
  readonly tag: string;
}

export type WireValue = string | Buffer | null;

/** The transaction failed before; why is in another statement's answer. */
export class RolledBackError extends Error {
  override readonly name = "RolledBackError";
}

interface Column {
  readonly name: string;
  readonly parse: (value: string) => unknown;
}

/** What a connection knows of a statement: prepared once, described once. */
interface Prepared {
  columns: readonly Column[];
}

interface Connection {
  readonly stream: Socket;
  parse(message: { readonly name: string; readonly text: string }): void;
  bind(message: { readonly statement: string; readonly values: readonly WireValue[] }): void;
  describe(message: { readonly type: "P" }): void;
  execute(message: object): void;
  close(message: { readonly type: "S"; readonly name: string }): void;
  sync(): void;
}

interface Knowledge {
  readonly prepared: Map<string, Prepared>;
  /** Statements of which nobody can say whether they were prepared: something failed first. */
  readonly doubtful: Set<string>;
}

const knowledgeOf = new WeakMap<Connection, Knowledge>();

function whatIsKnownOn(connection: Connection): Knowledge {
  const known = knowledgeOf.get(connection) ?? { prepared: new Map(), doubtful: new Set() };
  knowledgeOf.set(connection, known);
  return known;
}

const require = createRequire(import.meta.url);
// pg's own Query: in pipeline mode its client takes no other.
const Query = require("pg/lib/query.js") as new (config: pg.QueryConfig) => object;
const { prepareValue } = require("pg/lib/utils.js") as { prepareValue(value: unknown): WireValue };

/** A parameter as it travels. @throws TypeError for what no parameter can be */
export const toWire = prepareValue;

class Trip extends Query {
  /** Of its statements; tests count them. */
  readonly texts: readonly string[];
  readonly #passengers: readonly Passenger[];
  readonly #done: PromiseWithResolvers<void>;
  #known: Knowledge | undefined;
  readonly #prepared: Prepared[] = [];
  /** Statements that were prepared on the way. */
  readonly #fresh = new Set<string>();
  /** The passenger whose answer is arriving. */
  #at = 0;
  #rows: object[] = [];
  #unreadable: unknown;

  constructor(passengers: readonly Passenger[], done: PromiseWithResolvers<void>) {
    super({ text: "" });
    this.texts = passengers.map(({ text }) => text);
    this.#passengers = passengers;
    this.#done = done;
  }

  submit(connection: Connection): null {
    this.#known = whatIsKnownOn(connection);
    connection.stream.cork();
    for (const { name, text, values } of this.#passengers) {
      const isNew = this.#prepare(connection, { name, text });
      connection.bind({ statement: name, values });
      if (isNew) connection.describe({ type: "P" });
      connection.execute({});
    }
    connection.sync();
    connection.stream.uncork();
    return null;
  }

  #prepare(connection: Connection, { name, text }: Pick<Passenger, "name" | "text">): boolean {
    const { prepared, doubtful } = this.#known!;
    const known = prepared.get(name);
    this.#prepared.push(known ?? { columns: [] });
    if (known) return false;
    prepared.set(name, this.#prepared.at(-1)!);
    this.#fresh.add(name);
    if (doubtful.delete(name)) connection.close({ type: "S", name });
    connection.parse({ name, text });
    return true;
  }

  handleRowDescription({ fields }: { readonly fields: readonly pg.FieldDef[] }): void {
    this.#prepared[this.#at]!.columns = fields.map(({ name, dataTypeID }) => ({
      name: camelCase(name),
      parse: typeParsers.getTypeParser(dataTypeID, "text") as Column["parse"],
    }));
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    const row: Record<string, unknown> = {};
    try {
      for (const [index, { name, parse }] of this.#prepared[this.#at]!.columns.entries()) {
        const value = fields[index] ?? null;
        row[name] = value === null ? null : parse(value);
      }
    } catch (error) {
      this.#unreadable ??= error;
    }
    this.#rows.push(row);
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    const { resolve, reject } = this.#passengers[this.#at++]!;
    const [rows, unreadable] = [this.#rows, this.#unreadable];
    this.#rows = [];
    this.#unreadable = undefined;
    if (unreadable === undefined) resolve({ rows, tag: text });
    else reject(unreadable);
  }

  handleEmptyQuery(): void {
    this.handleCommandComplete({ text: "" });
  }

  handleReadyForQuery(): void {
    this.#done.resolve();
  }

  /** Of a statement, of the commit that follows them, or of the connection. */
  handleError(error: unknown): void {
    const [failed, ...skipped] = this.#passengers.slice(this.#at);
    for (const { name } of this.#passengers.slice(0, this.#at)) this.#fresh.delete(name);
    for (const name of this.#fresh) this.#doubt(name);
    failed?.reject(error);
    for (const { reject } of skipped) reject(new RolledBackError("a statement before it failed"));
    this.#done.reject(error);
  }

  #doubt(name: string): void {
    this.#known?.prepared.delete(name);
    this.#known?.doubtful.add(name);
  }
}

/** Sends statements; resolves when the server has answered all of them and, outside of BEGIN, has committed. @throws what failed */
export function travel(client: pg.PoolClient, passengers: readonly Passenger[]): Promise<void> {
  const done = Promise.withResolvers<void>();
  client.query(new Trip(passengers, done) as unknown as pg.Submittable);
  return done.promise;
}
