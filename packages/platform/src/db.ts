import type { Socket } from "node:net";
import pg from "pg";
import type { TenantScope } from "./caller.ts";
import { AppError, platformErrors } from "./errors.ts";
import { openGathering } from "./gathering.ts";
import { isUuid } from "./ids.ts";
import { logger } from "./log.ts";
import { statementOf, type Statement } from "./statement.ts";
import { RolledBackError, toWire, travel, typeParsers, type Answer, type Passenger } from "./trip.ts";

/**
 * The door to Postgres. Writes are SQL in one transaction (`withTenant`), typed reads go through `reader.ts`.
 * Row level security decides what a statement can touch; this file only says for which tenant.
 */

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
   * be lost. `isWhole` is false when a savepoint took a part of the transaction back.
   */
  afterCommit(action: (isWhole: boolean) => void): void;
}

/** Issues one statement for all rows; one function for the life of the process, since rows are gathered by it. */
export type RowWriter<Row, Answer = unknown> = (tx: Tx, rows: readonly Row[]) => Promise<Answer>;

export interface DatabaseUrls {
  /** The application role: owns nothing, cannot bypass row level security. */
  readonly app: string;
  /** The system role: relay, schedules and reconciler only. */
  readonly system: string;
}

export interface DatabaseOptions extends DatabaseUrls {
  /** Connections of the application role in this process; the system role gets a quarter, at least 2. */
  readonly poolSize?: number;
  /** A connection in use that says nothing for so long is given up. */
  readonly silenceMs?: number;
}

interface Pools {
  readonly app: pg.Pool;
  readonly system: pg.Pool;
}

const STATEMENT_TIMEOUT_MS = 30_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5_000;
const READY_TIMEOUT_MS = 2_000;
/**
 * A server that is there has ended a statement, and a transaction without one, by then, and the pool has closed what is idle. One
 * that is not, behind a network that says so to nobody, would keep all of the pool until TCP gives up, a quarter of an hour later.
 */
const SILENCE_MS = Math.max(STATEMENT_TIMEOUT_MS, IDLE_IN_TRANSACTION_TIMEOUT_MS) + 5_000;

let pools: Pools | undefined;
const forgetting: (() => void)[] = [];

function openPool(connectionString: string, max: number, silenceMs: number): pg.Pool {
  const config: pg.PoolConfig & { pipeline: boolean } = {
    connectionString,
    max,
    types: typeParsers,
    // What is sent does not wait for the answers to what was sent before.
    pipeline: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    application_name: "sba",
  };
  const pool = new pg.Pool(config);
  // A connection in use that is lost rejects its statements; unheard, its event would end the process.
  pool.on("connect", (client) => {
    client.on("error", (error) => {
      logger.debug({ err: error }, "database connection failed");
    });
    const { stream } = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
    stream.setTimeout(silenceMs, () => {
      logger.warn("database connection given up: the server is silent");
      stream.destroy();
    });
  });
  // An idle connection that the server ends: the pool drops it by itself, and the next use opens another.
  pool.on("error", (error) => {
    logger.warn({ "error.message": error.message }, "database connection lost");
  });
  return pool;
}

/** Opens the pools of this process. Call once, before anything else here. */
export function connectDatabase(options: DatabaseOptions): void {
  if (pools) throw new Error("connectDatabase was called twice");
  const { app, system, poolSize = 10, silenceMs = SILENCE_MS } = options;
  pools = {
    app: openPool(app, poolSize, silenceMs),
    system: openPool(system, Math.max(2, Math.ceil(poolSize / 4)), silenceMs),
  };
}

/** Calls `forget` when the database is closed: what a process remembers of one is not so of the next that it connects to. */
export function onDatabaseClosed(forget: () => void): void {
  forgetting.push(forget);
}

/** Ends every connection after the statements under way. */
export async function closeDatabase(): Promise<void> {
  const closing = pools;
  pools = undefined;
  for (const forget of forgetting) forget();
  await Promise.all([closing?.app.end(), closing?.system.end()]);
}

/** True when the database answers: what `/readyz` is for. Never throws. */
export async function isDatabaseReady(): Promise<boolean> {
  // Of a server that hangs each probe would otherwise keep a connection of the pool.
  const probe = { text: "SELECT 1", query_timeout: READY_TIMEOUT_MS };
  return openPools()
    .app.query(probe)
    .then(
      () => true,
      () => false,
    );
}

/** The application role's pool, for `reader.ts` only. */
export function applicationPool(): pg.Pool {
  return openPools().app;
}

function openPools(): Pools {
  if (!pools) throw new Error("connectDatabase was not called");
  return pools;
}

/**
 * Runs `work` in one transaction that sees and writes only the tenant's rows, and commits it; anything thrown rolls
 * it back. The tenant is set together with BEGIN, locally to the transaction.
 * @throws DATABASE_UNAVAILABLE when the server cannot be reached; what it throws else is what `work` threw.
 */
export function withTenant<T>(
  scope: TenantScope,
  work: (tx: Tx) => Promise<T>,
  { byKey = false }: TransactionOptions = {},
): Promise<T> {
  if (!isUuid(scope.tenantId)) throw new Error("withTenant needs a tenant's UUID");
  const setting = byKey ? SET_TENANT_BY_KEY : SET_TENANT;
  return transact(openPools().app, { tenantId: scope.tenantId, setting }, work);
}

export interface TransactionOptions {
  /**
   * Its statements find every row by its key, or by a range of an index that their text settles: their plan is the same whatever they
   * are asked for, so it is made once a connection. It reads no table through, also when it is made while there is little in one, and is not
   * compiled, whatever is guessed of how many rows there are.
   */
  readonly byKey?: boolean;
}

interface Beginning {
  readonly tenantId: string | null;
  /** Takes the tenant as its parameter; none for the system role. */
  readonly setting: Statement | undefined;
}

const BEGIN: Statement = { name: "sba_begin", text: "BEGIN" };
const COMMIT: Statement = { name: "sba_commit", text: "COMMIT" };
const SET_TENANT: Statement = {
  name: "sba_tenant",
  text: "SELECT set_config('app.current_tenant', $1, true)",
};
const SET_TENANT_BY_KEY: Statement = {
  name: "sba_tenant_by_key",
  text: "SELECT set_config('app.current_tenant', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)",
};

/**
 * Runs statements that do not wait for one another in one transaction and one round trip, as `withTenant`: reads, and writes
 * that are known beforehand.
 */
export function withTenantOnce<T>(scope: TenantScope, work: (tx: Tx) => Promise<T>): Promise<T> {
  return withTenant(scope, (tx) => tx.finish(() => work(tx)));
}

/** The same for statements that find every row by its key (`TransactionOptions`). */
export function withTenantByKey<T>(scope: TenantScope, work: (tx: Tx) => Promise<T>): Promise<T> {
  return withTenant(scope, (tx) => tx.finish(() => work(tx)), { byKey: true });
}

/**
 * Runs `work` in one transaction that sees the rows of every tenant. For the outbox relay, schedules and the
 * reconciler only; the reason is logged.
 */
export function systemTx<T>(reason: string, work: (tx: Tx) => Promise<T>): Promise<T> {
  logger.trace({ reason }, "system transaction");
  return transact(openPools().system, { tenantId: null, setting: undefined }, work);
}

async function transact<T>(pool: pg.Pool, beginning: Beginning, work: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw databaseError(error);
  });
  const transaction = openTransaction(client, beginning);
  let broken: Error | undefined;
  let worked: PromiseSettledResult<T>;
  try {
    [worked] = await Promise.allSettled([work(transaction.tx)]);
    const committing = transaction.end();
    if (worked.status === "rejected" && !committing) throw worked.reason;
    await (committing ?? transaction.commit());
  } catch (error) {
    broken = await transaction.rollBack();
    throw databaseError(transaction.causeOf(error));
  } finally {
    client.release(broken);
  }
  await transaction.runCommitted();
  if (worked.status === "rejected") throw worked.reason;
  return worked.value;
}

// https://www.postgresql.org/docs/18/errcodes-appendix.html: in_failed_sql_transaction; invalid_sql_statement_name is of what was
// prepared by a statement that was skipped.
const CONSEQUENCES = ["25P02", "26000"];

function isConsequence(error: unknown): boolean {
  if (error instanceof RolledBackError) return true;
  return error instanceof pg.DatabaseError && CONSEQUENCES.includes(error.code ?? "");
}

interface Transaction {
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
function openTransaction(client: pg.PoolClient, { tenantId, setting }: Beginning): Transaction {
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

  const issue = async (statement: Statement, values: readonly SqlValue[]): Promise<object[]> => {
    // What takes a failure back must not be skipped because of it.
    if (statement.text.startsWith("ROLLBACK TO")) {
      isWhole = false;
      send();
    }
    if (issued.length === 0) process.nextTick(send);
    return (await embark(statement, values)).rows;
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
      const answer = ended ? Promise.reject<object[]>(lateStatement(strings)) : issue(statementOf(strings), values);
      answer.catch(() => undefined); // heard by whoever commits
      return answer as Promise<Row[]>;
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

function lateStatement(strings: TemplateStringsArray): Error {
  const error = new Error(
    `a statement came after the end of its transaction: ${strings.join("?").trim().slice(0, 100)}`,
  );
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

/** A JSON parameter; write it as `${json(value)}::jsonb`. */
export function json(value: unknown): string {
  return JSON.stringify(value);
}

/** True for the violation of the named unique constraint or index. */
export function isUniqueViolation(error: unknown, constraint: string): boolean {
  return error instanceof pg.DatabaseError && error.code === "23505" && error.constraint === constraint;
}

// What platform.require raises (the platform's migration).
const REQUIREMENT_FAILED = "SB001";

/** What `requireNotSuspended` raises; every domain's transactions may, so it is understood here. */
export const TENANT_SUSPENDED = "TENANT_SUSPENDED";

/** True when `platform.require(..., otherwise)` or `require_none` refused the transaction; whatever they wanted, without `otherwise`. */
export function isRequirementFailure(error: unknown, otherwise?: string): boolean {
  if (!(error instanceof pg.DatabaseError) || error.code !== REQUIREMENT_FAILED) return false;
  return otherwise === undefined || error.message === otherwise;
}

/** The keys that `platform.require_none` found; undefined when it was something else that failed. */
export function refusedKeys(error: unknown): ReadonlySet<string> | undefined {
  if (!(error instanceof pg.DatabaseError) || error.code !== REQUIREMENT_FAILED || error.detail === undefined)
    return undefined;
  return new Set(JSON.parse(error.detail) as string[]);
}

// Class 08 connection exception, 57P0x shutdown, 53300 too many connections: https://www.postgresql.org/docs/18/errcodes-appendix.html
const UNAVAILABLE = /^(08...|57P0.|53300|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT)$/;

/** Also of a server's socket that is not there: whoever starts the server makes it. */
function isConnectionError(error: Error): boolean {
  if (!("code" in error) || typeof error.code !== "string") return false;
  return UNAVAILABLE.test(error.code) || (error.code === "ENOENT" && "syscall" in error && error.syscall === "connect");
}

/** True when nobody can say what became of the transaction, or when there was none to be had. */
export function isDatabaseAway(error: unknown): boolean {
  return error instanceof AppError && error.code === "DATABASE_UNAVAILABLE";
}

/** What the callers of this door, and of `reader.ts`, are told of a failure: that the database is away, or what it was. */
export function databaseError(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error;
  if (isRequirementFailure(error, TENANT_SUSPENDED)) return platformErrors.TENANT_SUSPENDED();
  const lost =
    isConnectionError(error) ||
    /Connection terminated|is not queryable|timeout exceeded when trying to connect/.test(error.message);
  return lost ? platformErrors.DATABASE_UNAVAILABLE({ cause: error }) : error;
}
