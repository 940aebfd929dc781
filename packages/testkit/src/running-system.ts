import { join } from "node:path";
import { findCluster } from "@sba/launcher/postgres";
import { keepSecretKey } from "@sba/launcher/secret-key";
import pg from "pg";

/** Changes rows of a system that runs on a data folder, as the tables' owner: what else only time, or another release, does to them. */
export async function changeRows(dataDir: string, statement: string, values: readonly unknown[]): Promise<number> {
  const connectionString = await findCluster({
    directory: join(dataDir, "postgres"),
    password: keepSecretKey(dataDir),
  });
  if (connectionString === undefined) throw new Error(`no database runs in ${dataDir}`);
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query(statement, [...values])).rowCount ?? 0;
  } finally {
    await client.end();
  }
}
