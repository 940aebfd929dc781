import { createRequire } from "node:module";
import { PrismaPg } from "@prisma/adapter-pg";
import { LRUCache } from "lru-cache";
import type pg from "pg";
import type { TenantScope } from "./caller.ts";
import { applicationPool, databaseError } from "./db.ts";
import { PrismaClient } from "./generated/prisma/client.ts";
import { isUuid } from "./ids.ts";

/**
 * The door to Prisma: typed reads, each bound to one tenant. `set_config` and the statement travel with one Sync, so they
 * are one implicit transaction and one round trip. The tenant is captured here, never looked up in ambient state.
 */
export type Reader = Omit<PrismaClient, `$${string}`>;

interface WireConnection {
  readonly parsedStatements: Record<string, string>;
  readonly submittedNamedStatements: Record<string, string>;
  parse(message: { name: string; text: string }): void;
  bind(message: { statement: string; values: readonly string[] }): void;
  execute(message: object): void;
}

interface WireQuery {
  prepare(connection: WireConnection): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: WireConnection): void;
}

type QueryCallback = (error: Error | null | undefined, result: pg.QueryResult) => void;
type WireQueryClass = new (
  config: pg.QueryConfig & { queryMode: string },
  values: unknown,
  callback: QueryCallback,
) => WireQuery;

// pg's own Query, which it does not export by name; the same class that `client.query(text)` makes.
const Query = createRequire(import.meta.url)("pg/lib/query.js") as WireQueryClass;
const SET_TENANT = "SELECT set_config('app.current_tenant', $1, true)";
const SET_TENANT_NAME = "sba_set_tenant";

/** One statement that sets its tenant first, without a trip of its own; the first answer (of set_config) is dropped. */
class TenantQuery extends Query {
  readonly #tenantId: string;
  #tenantIsSet = false;

  constructor(tenantId: string, config: pg.QueryConfig, callback: QueryCallback) {
    super({ ...config, queryMode: "extended" }, undefined, callback);
    this.#tenantId = tenantId;
  }

  override prepare(connection: WireConnection): void {
    const known = connection.parsedStatements[SET_TENANT_NAME] ?? connection.submittedNamedStatements[SET_TENANT_NAME];
    if (known === undefined) {
      connection.parse({ name: SET_TENANT_NAME, text: SET_TENANT });
      connection.submittedNamedStatements[SET_TENANT_NAME] = SET_TENANT;
    }
    connection.bind({ statement: SET_TENANT_NAME, values: [this.#tenantId] });
    connection.execute({});
    super.prepare(connection);
  }

  override handleDataRow(message: unknown): void {
    if (this.#tenantIsSet) super.handleDataRow(message);
  }

  override handleCommandComplete(message: unknown, connection: WireConnection): void {
    if (this.#tenantIsSet) super.handleCommandComplete(message, connection);
    else this.#tenantIsSet = true;
  }
}

function submit(client: pg.PoolClient, tenantId: string, config: pg.QueryConfig): Promise<pg.QueryResult> {
  return new Promise((resolve, reject) => {
    const query = new TenantQuery(tenantId, config, (error, result) => {
      if (error) reject(error);
      else resolve(result);
    });
    void client.query(query as unknown as pg.QueryConfig);
  });
}

async function queryOnce(pool: pg.Pool, tenantId: string, config: pg.QueryConfig): Promise<pg.QueryResult> {
  const client = await pool.connect().catch((error: unknown) => {
    throw databaseError(error);
  });
  let broken: Error | undefined;
  try {
    return await submit(client, tenantId, config);
  } catch (error) {
    // An error without an SQLSTATE is of the connection: it does not go back to the pool.
    if (error instanceof Error && !("code" in error)) broken = error;
    throw databaseError(error);
  } finally {
    client.release(broken);
  }
}

/** The shared pool as Prisma's adapter sees it: single statements only, all of one tenant. */
function bindPool(pool: pg.Pool, tenantId: string): pg.Pool {
  const refuse = (): never => {
    throw new Error("the reader opens no transactions: use withTenant");
  };
  return Object.create(pool, {
    query: { value: (config: pg.QueryConfig) => queryOnce(pool, tenantId, config) },
    connect: { value: refuse },
    on: { value: () => undefined },
    removeListener: { value: () => undefined },
    end: { value: () => Promise.resolve() },
  }) as pg.Pool;
}

// A client costs about a megabyte and a millisecond; the busiest tenants keep theirs.
const clients = new LRUCache<string, PrismaClient>({ max: 100, dispose: (client) => void client.$disconnect() });

/** Typed single reads as the tenant: `reader(caller).run.findMany(...)`. Row level security holds as in `withTenant`. */
export function reader(scope: TenantScope): Reader {
  const existing = clients.get(scope.tenantId);
  if (existing) return existing;
  if (!isUuid(scope.tenantId)) throw new Error("reader needs a tenant's UUID");
  const client = new PrismaClient({ adapter: new PrismaPg(bindPool(applicationPool(), scope.tenantId)) });
  clients.set(scope.tenantId, client);
  return client;
}

/** Forgets every client; called with closeDatabase. */
export function closeReaders(): void {
  clients.clear();
}
