import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError, type Config } from "@sba/platform/config";
import type { DatabaseUrls } from "@sba/platform/db";
import { roleUrlsOf } from "@sba/platform/roles";
import { secretKeyOf } from "@sba/platform/services";
import { findCluster } from "./postgres.ts";
import { keepSecretKey } from "./secret-key.ts";

/**
 * The database of the system that runs with this environment, for commands of operators: as it is configured, or the embedded one
 * of the data folder. Changes nothing in it.
 * @throws ConfigError when there is none
 */
export async function findDatabase(config: Config): Promise<DatabaseUrls> {
  const { DATABASE_URL: app, DATABASE_SYSTEM_URL: system, DATABASE_ADMIN_URL: admin } = config;
  if (app !== undefined && system !== undefined) return { app, system };
  const derived = admin === undefined ? await findEmbedded(config) : roleUrlsOf(admin, secretKeyOf(config));
  return { app: app ?? derived.app, system: system ?? derived.system };
}

async function findEmbedded({ DATA_DIR, SECRET_KEY }: Config): Promise<DatabaseUrls> {
  const folder = resolve(DATA_DIR);
  // Its database may be elsewhere, where the user can read it that it runs as; its key is in the folder itself.
  const isThere = existsSync(join(folder, "secret-key"));
  // Of the folder and not of SECRET_KEY: see the supervisor.
  const password = isThere ? keepSecretKey(folder) : "";
  const owner = isThere ? await findCluster({ directory: join(folder, "postgres"), password }) : undefined;
  if (owner !== undefined) return roleUrlsOf(owner, SECRET_KEY ?? password);
  throw new ConfigError([
    `DATABASE_URL and DATABASE_SYSTEM_URL: are required, since no system runs on the data folder ${folder}`,
  ]);
}
