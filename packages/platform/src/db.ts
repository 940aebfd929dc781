import type { Socket } from "node:net";
import pg from "pg";
import type { TenantScope } from "./caller.ts";
import { AppError, platformErrors } from "./errors.ts";
import { isUuid } from "./ids.ts";
import { logger } from "./log.ts";
import type { Statement } from "./statement.ts";
import { openTransaction, type Beginning, type Tx } from "./transaction.ts";
import { typeParsers } from "./trip.ts";

/**
 * The door to Postgres. Writes are SQL in one transaction (`withTenant`), typed reads go through `reader.ts`.
 * Row level security decides what a statement can touch; this file only says for which tenant.
 */

export type { RowWriter, SqlValue, Tx } from "./transaction.ts";

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
