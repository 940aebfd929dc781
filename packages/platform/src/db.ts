import type { Socket } from "node:net";
import pg from "pg";
import type { TenantScope } from "./caller.ts";
import { AppError, platformErrors } from "./errors.ts";
import { openGathering } from "./gathering.ts";
import { isUuid } from "./ids.ts";
import { logger } from "./log.ts";
import { camelCase, statementOf } from "./statement.ts";

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
  /** Runs after the commit is acknowledged, never when it failed: wake-ups and other things that may be lost. */
  afterCommit(action: () => void): void;
}

/** Issues one statement for all rows; one function for the life of the process, since rows are gathered by it. */
export type RowWriter<Row> = (tx: Tx, rows: readonly Row[]) => Promise<unknown>;

export interface DatabaseUrls {
  /** The application role: owns nothing, cannot bypass row level security. */
  readonly app: string;
  /** The system role: relay, schedules and reconciler only. */
  readonly system: string;
}

export interface DatabaseOptions extends DatabaseUrls {
  /** Connections of the application role in this process; the system role gets a quarter, at least 2. */
  readonly poolSize?: number;
}

interface Pools {
  readonly app: pg.Pool;
  readonly system: pg.Pool;
}

const STATEMENT_TIMEOUT_MS = 30_000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5_000;
const INT8_OID = 20;

let pools: Pools | undefined;
const forgetting: (() => void)[] = [];

const types = {
  getTypeParser: ((oid: number, format?: "text" | "binary"): unknown =>
    oid === INT8_OID && format !== "binary"
      ? (value: string) => BigInt(value)
      : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

function openPool(connectionString: string, max: number): pg.Pool {
  const config: pg.PoolConfig & { pipeline: boolean } = {
    connectionString,
    max,
    types,
    // Statements are written as they are issued and answered in order: BEGIN, set_config and the first statement share a trip.
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
  const size = options.poolSize ?? 10;
  pools = { app: openPool(options.app, size), system: openPool(options.system, Math.max(2, Math.ceil(size / 4))) };
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
  return openPools()
    .app.query("SELECT 1")
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
export function withTenant<T>(scope: TenantScope, work: (tx: Tx) => Promise<T>): Promise<T> {
  if (!isUuid(scope.tenantId)) throw new Error("withTenant needs a tenant's UUID");
  return transact(openPools().app, beginAs(scope), scope.tenantId, work);
}

/** A utility statement: unlike `set_config` it is not planned. */
function beginAs({ tenantId }: TenantScope): string {
  return `BEGIN; SET LOCAL app.current_tenant = '${tenantId}'`;
}

/**
 * Runs statements that do not wait for one another in one transaction and one round trip, as `withTenant`: reads, and writes
 * that are known beforehand.
 */
export function withTenantOnce<T>(scope: TenantScope, work: (tx: Tx) => Promise<T>): Promise<T> {
  return withTenant(scope, (tx) => tx.finish(() => work(tx)));
}

/**
 * The same for statements that find every row by its key, or by a range of an index that their text settles: their plan is the
 * same whatever they are asked for, so it is made once a connection.
 */
export function withTenantByKey<T>(scope: TenantScope, work: (tx: Tx) => Promise<T>): Promise<T> {
  if (!isUuid(scope.tenantId)) throw new Error("withTenantByKey needs a tenant's UUID");
  const begin = `${beginAs(scope)}; SET LOCAL plan_cache_mode = force_generic_plan`;
  return transact(openPools().app, begin, scope.tenantId, (tx) => tx.finish(() => work(tx)));
}

/**
 * Runs `work` in one transaction that sees the rows of every tenant. For the outbox relay, schedules and the
 * reconciler only; the reason is logged.
 */
export function systemTx<T>(reason: string, work: (tx: Tx) => Promise<T>): Promise<T> {
  logger.trace({ reason }, "system transaction");
  return transact(openPools().system, "BEGIN", null, work);
}

async function transact<T>(
  pool: pg.Pool,
  begin: string,
  tenantId: string | null,
  work: (tx: Tx) => Promise<T>,
): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw databaseError(error);
  });
  const transaction = openTransaction(client, tenantId);
  const send = holdWrites(client);
  process.nextTick(send);
  let broken: Error | undefined;
  let worked: PromiseSettledResult<T>;
  try {
    let begun: PromiseSettledResult<unknown>;
    // Both are waited for, whichever fails: a connection goes back to the pool when nobody can issue a statement on it.
    [begun, worked] = await Promise.allSettled([client.query(begin), work(transaction.tx)]);
    const committing = transaction.end();
    if (begun.status === "rejected") throw begun.reason;
    if (worked.status === "rejected" && !committing) throw worked.reason;
    await (committing ?? commit(client));
  } catch (error) {
    broken = await client.query("ROLLBACK").then(
      () => undefined,
      (rollbackError: Error) => rollbackError,
    );
    throw databaseError(await transaction.causeOf(error));
  } finally {
    client.release(broken);
  }
  transaction.runCommitted();
  if (worked.status === "rejected") throw worked.reason;
  return worked.value;
}

/**
 * Holds back what is written to the server until the returned function is called: statements that are issued together then go
 * out in one system call instead of two each.
 */
function holdWrites(client: pg.PoolClient): () => void {
  const { stream } = (client as pg.PoolClient & { readonly connection: { readonly stream: Socket } }).connection;
  stream.cork();
  return () => {
    stream.uncork();
  };
}

/** The transaction failed before; why is in another statement's answer. */
class RolledBackError extends Error {
  override readonly name = "RolledBackError";
}

// https://www.postgresql.org/docs/18/errcodes-appendix.html: in_failed_sql_transaction
const TRANSACTION_FAILED = "25P02";

function isConsequence(error: unknown): boolean {
  return error instanceof RolledBackError || (error instanceof pg.DatabaseError && error.code === TRANSACTION_FAILED);
}

/** A transaction in which a statement failed answers COMMIT with ROLLBACK, and no error: nobody may take that for a success. */
async function commit(client: pg.PoolClient): Promise<void> {
  const { command } = await client.query("COMMIT");
  if (command !== "COMMIT") throw new RolledBackError("the transaction was rolled back");
}

interface Transaction {
  readonly tx: Tx;
  /** Refuses what comes later: the connection is then another transaction's, of another tenant. Returns the commit if it was sent. */
  end(): Promise<void> | undefined;
  /** The first failure of a statement, when `error` only says that there was one; else `error`. */
  causeOf(error: unknown): Promise<unknown>;
  runCommitted(): void;
}

function openTransaction(client: pg.PoolClient, tenantId: string | null): Transaction {
  const committed: (() => void)[] = [];
  let failure: unknown;
  let ended = false;
  let committing: Promise<void> | undefined;
  const gathering = openGathering<RowWriter<never>>((write, rows) => void write(tx, rows as never[]));
  const tx: Tx = {
    tenantId,
    sql: <Row extends object>(strings: TemplateStringsArray, ...values: readonly SqlValue[]) => {
      gathering.send();
      const answer = ended ? Promise.reject<Row[]>(lateStatement(strings)) : runStatement<Row>(client, strings, values);
      // Statements need not be awaited one by one: one that fails is then reported by those that are, and by the commit.
      answer.catch((error: unknown) => {
        failure ??= error;
      });
      return answer;
    },
    finish: async (last) => {
      const send = holdWrites(client);
      gathering.begin();
      const answers = (async () => last())();
      gathering.end();
      ended = true;
      let refused = false;
      answers.catch(() => {
        refused = true;
      });
      // What fails before it reaches the server must not be committed without: by now it has said so.
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (!refused) committing = commit(client);
      send();
      committing?.catch(() => undefined); // heard by transact
      return answers;
    },
    gather: gathering.add,
    afterCommit: (action) => committed.push(action),
  };
  return {
    tx,
    end: () => {
      ended = true;
      return committing;
    },
    causeOf: async (error) => {
      if (!isConsequence(error)) return error;
      // Answers that arrived together settle one after the other.
      await new Promise<void>((resolve) => setImmediate(resolve));
      return failure ?? error;
    },
    runCommitted: () => {
      for (const action of committed) runAction(action);
    },
  };
}

function lateStatement(strings: TemplateStringsArray): Error {
  const error = new Error(
    `a statement came after the end of its transaction: ${strings.join("?").trim().slice(0, 100)}`,
  );
  logger.error({ err: error }, "a statement came too late");
  return error;
}

/** What is committed is committed: an action that fails is logged, and the others still run. */
function runAction(action: () => void): void {
  try {
    action();
  } catch (error) {
    logger.error({ err: error }, "an action after a commit failed");
  }
}

async function runStatement<Row extends object>(
  client: pg.PoolClient,
  strings: TemplateStringsArray,
  values: readonly SqlValue[],
): Promise<Row[]> {
  const { name, text } = statementOf(strings);
  const result = await client.query<unknown[]>({ name, text, values: values as unknown[], rowMode: "array" });
  const columns = result.fields.map((field) => camelCase(field.name));
  return result.rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])) as Row);
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

/** True when nobody can say what became of the transaction, or when there was none to be had. */
export function isDatabaseAway(error: unknown): boolean {
  return error instanceof AppError && error.code === "DATABASE_UNAVAILABLE";
}

function databaseError(error: unknown): unknown {
  if (error instanceof AppError || !(error instanceof Error)) return error;
  if (isRequirementFailure(error, TENANT_SUSPENDED)) return platformErrors.TENANT_SUSPENDED();
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const lost =
    UNAVAILABLE.test(code) ||
    /Connection terminated|is not queryable|timeout exceeded when trying to connect/.test(error.message);
  return lost ? platformErrors.DATABASE_UNAVAILABLE({ cause: error }) : error;
}
