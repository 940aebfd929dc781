import { randomUUID } from "node:crypto";
import { PrismaPg } from "@prisma/adapter-pg";
import { ColumnTypeEnum, type SqlDriverAdapter } from "@prisma/driver-adapter-utils";
import pg from "pg";

/** Postgres as Prisma's schema engine needs it: two gaps of the driver adapter are closed here. */

// Postgres' internal one-byte type "char", which the catalogue uses and the adapter does not know.
const CHAR_OID = 18;
const TEXT_OID = 25;
const CHAR_MARK = "\0char";

interface FieldDescription {
  name: string;
  dataTypeID: number;
}

/** Presents "char" columns as text, with a mark in their name by which the adapter's answer is put right. */
class CharAwareClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    const { connection } = this as unknown as { connection: NodeJS.EventEmitter };
    connection.prependListener("rowDescription", ({ fields }: { fields: FieldDescription[] }) => {
      for (const field of fields.filter(({ dataTypeID }) => dataTypeID === CHAR_OID)) {
        field.dataTypeID = TEXT_OID;
        field.name += CHAR_MARK;
      }
    });
  }
}

export async function openAdapter(url: string, onDispose?: () => Promise<void>): Promise<SqlDriverAdapter> {
  const config: pg.PoolConfig & { Client: typeof pg.Client } = {
    connectionString: url,
    max: 2,
    Client: CharAwareClient,
  };
  const pool = new pg.Pool(config);
  const adapter: SqlDriverAdapter = await new PrismaPg(pool).connect();
  const queryRaw = adapter.queryRaw.bind(adapter);
  const dispose = adapter.dispose.bind(adapter);
  return Object.assign(adapter, {
    queryRaw: async (query: Parameters<typeof queryRaw>[0]) => withChars(await queryRaw(query)),
    // The adapter's own splits a script at every semicolon, also inside a function's body.
    executeScript: async (script: string) => {
      await pool.query(script);
    },
    dispose: async () => {
      await dispose();
      await pool.end();
      await onDispose?.();
    },
  });
}

type ResultSet = Awaited<ReturnType<SqlDriverAdapter["queryRaw"]>>;

function withChars(result: ResultSet): ResultSet {
  return {
    ...result,
    columnTypes: result.columnTypes.map((type, index) =>
      result.columnNames[index]?.endsWith(CHAR_MARK) ? ColumnTypeEnum.Character : type,
    ),
    columnNames: result.columnNames.map((name) => (name.endsWith(CHAR_MARK) ? name.slice(0, -CHAR_MARK.length) : name)),
  };
}

/** A database that lives as long as the adapter: where migrations are replayed to see what they amount to. */
export async function openShadowAdapter(url: string): Promise<SqlDriverAdapter> {
  const shadow = withDatabase(url, `prisma_shadow_${randomUUID().replaceAll("-", "")}`);
  await createDatabase(shadow, url);
  return openAdapter(shadow, () => dropDatabase(shadow, url));
}

export async function ping(url: string): Promise<void> {
  await run(url, "SELECT 1");
}

export async function createDatabase(url: string, through = withDatabase(url, "postgres")): Promise<void> {
  await run(through, `CREATE DATABASE ${pg.escapeIdentifier(databaseOf(url))}`);
}

export async function dropDatabase(url: string, through = withDatabase(url, "postgres")): Promise<void> {
  await run(through, `DROP DATABASE ${pg.escapeIdentifier(databaseOf(url))} WITH (FORCE)`);
}

function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${encodeURIComponent(database)}`;
  return changed.href;
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
