import pg from "pg";
import { openGathering } from "./gathering.ts";
import { logger } from "./log.ts";
import { statementOf, type Statement } from "./statement.ts";
import { RolledBackError, toWire, travel, type Answer, type Passenger } from "./trip.ts";

/** One transaction on one connection: which of its statements travel together, and what is made of those that fail. */

/** A value that Postgres takes as a parameter. Objects go in as JSON: wrap them in `json()`. */
export type SqlValue = string | number | bigint | boolean | Date | Buffer | null | readonly SqlValue[];

/** One transaction. A function that takes a `Tx` joins it; it never opens or ends one. */
export interface Tx {
  /** The tenant whose rows are visible; null under `systemTx`. */
  readonly tenantId: string | null;
  /**
   * Runs one statement; placeholders are the template's values. Columns come back in camelCase, int8 as bigint,
   * timestamptz as Date. Statements that are not awaited one by one travel together in one round trip; one of them that
   * fails fails the transaction.
   */
  sql<Row extends object>(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Promise<Row[]>;
  /**
   * Runs a part of the transaction that is taken back alone when it throws; whoever catches that goes on with the rest. What of the part
   * may fail it waits for itself. Not within `finish`.
   */
  nested<T>(part: () => Promise<T>): Promise<T>;
  /**
   * Issues the transaction's last statements and sends the commit after them without waiting for their answers: one round trip
   * for all. `last` issues every statement before it waits for anything: what comes later is refused. Only who opened the
   * transaction may say that it ends.
   */
  finish<T>(last: () => Promise<T>): Promise<T>;
  /**
   * Gives rows to a statement that writes the rows of all who have some for it in this `finish`: sent before the next statement
   * that is not gathered, or after the last, in the order in which writers were first given rows. Outside of `finish` it is sent at
   * once. Needs no answer.
   */
  gather<Row>(write: RowWriter<Row>, rows: readonly Row[]): void;
  /** The same for who needs the writer's answer, which may be of others' rows too. */
  gatherFor<Row, Answer>(write: RowWriter<Row, Answer>, rows: readonly Row[]): Promise<Answer>;
  /**
   * Runs after the commit is acknowledged and every answer has been heard, never when it failed: wake-ups and other things that may
   * be lost. `isWhole` is false when a part of the transaction was taken back.
   */
  afterCommit(action: (isWhole: boolean) => void): void;
}

/** Issues one statement for all rows; one function for the life of the process, since rows are gathered by it. */
export type RowWriter<Row, Answer = unknown> = (tx: Tx, rows: readonly Row[]) => Promise<Answer>;

export interface Beginning {
  readonly tenantId: string | null;
  /** Takes the tenant as its parameter; none for the system role. */
  readonly setting: Statement | undefined;
}

const BEGIN: Statement = { name: "sba_begin", text: "BEGIN" };
const COMMIT: Statement = { name: "sba_commit", text: "COMMIT" };
const SAVEPOINT: Statement = { name: "sba_savepoint", text: "SAVEPOINT part" };
const RELEASE: Statement = { name: "sba_release", text: "RELEASE SAVEPOINT part" };
const ROLLBACK_TO: Statement = { name: "sba_rollback_to", text: "ROLLBACK TO SAVEPOINT part" };

// https://www.postgresql.org/docs/18/errcodes-appendix.html: in_failed_sql_transaction; invalid_sql_statement_name is of what was
// prepared by a statement that was skipped.
const CONSEQUENCES = ["25P02", "26000"];

function isConsequence(error: unknown): boolean {
  if (error instanceof RolledBackError) return true;
  return error instanceof pg.DatabaseError && CONSEQUENCES.includes(error.code ?? "");
}

export interface Transaction {
  readonly tx: Tx;
  /** Refuses what comes later: the connection is then another transaction's, of another tenant. Returns the commit if it was sent. */
  end(): Promise<void> | undefined;
  /** Sends what was issued and not yet sent, with the commit. */
  commit(): Promise<void>;
  /** Returns why the connection is of no use any more. */
  rollBack(): Promise<Error | undefined>;
  /** The first failure of a statement, when `error` only says that there was one; else `error`. */
  causeOf(error: unknown): unknown;
  /** When every answer has been heard. */
  runCommitted(): Promise<void>;
}

/**
 * What is issued in one turn travels together. A transaction whose commit is asked for before anything was sent needs neither BEGIN nor
 * COMMIT: its one trip is one transaction.
 */
export function openTransaction(client: pg.PoolClient, { tenantId, setting }: Beginning): Transaction {
  const committed: ((isWhole: boolean) => void)[] = [];
  let isWhole = true;
  const settings = setting ? [[setting, [tenantId]] as const] : [];
  let issued: Passenger[] = [];
  let failure: unknown;
  let isIncomplete = false;
  let begun = false;
  let ended = false;
  let committing: Promise<void> | undefined;
  const gathering = openGathering<RowWriter<never>>((write, rows) => write(tx, rows as never[]));

  const embark = (statement: Statement, values: readonly SqlValue[]): Promise<Answer> => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    // Statements need not be awaited one by one: one that fails is then reported by those that are, and by the commit.
    promise.catch((error: unknown) => {
      failure ??= error;
    });
    try {
      issued.push({ ...statement, values: values.map(toWire), resolve, reject });
    } catch (error) {
      isIncomplete = true;
      reject(error);
    }
    return promise;
  };

  /** Sends what was issued; the transaction goes on. */
  const send = (): void => {
    if (issued.length === 0 || ended) return;
    const statements = issued;
    issued = [];
    if (!begun) for (const [statement, values] of [[BEGIN, []] as const, ...settings]) void embark(statement, values);
    begun = true;
    travel(client, [...issued.splice(0), ...statements]).catch(() => undefined); // heard by the statements
  };

  const issue = (statement: Statement, values: readonly SqlValue[]): Promise<object[]> => {
    if (issued.length === 0) process.nextTick(send);
    const rows = ended
      ? Promise.reject<object[]>(lateStatement(statement))
      : embark(statement, values).then((answer) => answer.rows);
    rows.catch(() => undefined); // heard by whoever commits
    return rows;
  };

  /** Since the last savepoint; where that cannot be done, the commit says so. */
  const takeBack = async (): Promise<void> => {
    isWhole = false;
    // What takes a failure back must not be skipped because of it.
    send();
    void issue(ROLLBACK_TO, []);
    // It is there still, and would be found in the place of one that it lies in.
    await issue(RELEASE, []).then(
      () => (failure = undefined),
      () => undefined,
    );
  };

  const commit = async (): Promise<void> => {
    const last = issued.splice(0);
    if (isIncomplete) {
      abandon(last);
      throw new RolledBackError("a statement could not be sent");
    }
    if (!begun) {
      if (last.length === 0) return;
      for (const [statement, values] of settings) void embark(statement, values);
      return travel(client, [...issued.splice(0), ...last]);
    }
    const answer = embark(COMMIT, []);
    travel(client, [...last, ...issued.splice(0)]).catch(() => undefined); // heard by the statements
    // A transaction in which a statement failed answers COMMIT with ROLLBACK, and no error: nobody may take that for a success.
    if ((await answer).tag !== "COMMIT") throw new RolledBackError("the transaction was rolled back");
  };

  const tx: Tx = {
    tenantId,
    sql: <Row extends object>(strings: TemplateStringsArray, ...values: readonly SqlValue[]) => {
      gathering.send();
      return issue(statementOf(strings), values) as Promise<Row[]>;
    },
    nested: async (part) => {
      void issue(SAVEPOINT, []);
      try {
        const result = await part();
        void issue(RELEASE, []);
        return result;
      } catch (error) {
        await takeBack();
        throw error;
      }
    },
    finish: async (last) => {
      gathering.begin();
      const answers = (async () => last())();
      let refused = false;
      answers.catch(() => {
        refused = true;
      });
      gathering.end();
      ended = true;
      // What fails before it reaches the server must not be committed without: by now it has said so.
      await settled();
      if (!refused) committing = commit();
      committing?.catch(() => undefined); // heard by transact
      return answers;
    },
    gather: (write, rows) => void gathering.add(write, rows),
    gatherFor: gathering.add as Tx["gatherFor"],
    afterCommit: (action) => committed.push(action),
  };
  return {
    tx,
    end: () => {
      ended = true;
      return committing;
    },
    commit,
    rollBack: async () => {
      abandon(issued.splice(0));
      if (!begun) return undefined;
      return client.query("ROLLBACK").then(
        () => undefined,
        (error: Error) => error,
      );
    },
    causeOf: (error) => (isConsequence(error) ? (failure ?? error) : error),
    runCommitted: async () => {
      if (committed.length === 0) return;
      await settled();
      for (const action of committed) runAction(action, isWhole);
    },
  };
}

/** Resolves when every promise has been heard whose outcome is known now. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    queueMicrotask(() => {
      process.nextTick(resolve);
    });
  });
}

/** They were not sent, and will not be. */
function abandon(passengers: readonly Passenger[]): void {
  for (const { reject } of passengers) reject(new RolledBackError("the transaction was rolled back"));
}

function lateStatement({ text }: Statement): Error {
  const error = new Error(`a statement came after the end of its transaction: ${text.trim().slice(0, 100)}`);
  logger.error({ err: error }, "a statement came too late");
  return error;
}

/** What is committed is committed: an action that fails is logged, and the others still run. */
function runAction(action: (isWhole: boolean) => void, isWhole: boolean): void {
  try {
    action(isWhole);
  } catch (error) {
    logger.error({ err: error }, "an action after a commit failed");
  }
}
