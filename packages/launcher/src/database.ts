import { join } from "node:path";
import type { Config } from "@sba/platform/config";
import type { DatabaseUrls } from "@sba/platform/db";
import { applyMigrations, requireMigrated } from "@sba/platform/migrations";
import { migrateQueue } from "@sba/platform/queue-postgres";
import { requireSafeRole } from "@sba/platform/roles";
import { databaseUrlsOf } from "@sba/platform/services";

/** From "there is a Postgres" to "it may serve": migrations, roles, and the check that row level security holds. */

const MIGRATIONS = join(import.meta.dirname, "../../../prisma/migrations");

/**
 * Brings the database up to this version, when the owner's URL is known, and returns the URLs to serve with. The roles are
 * made unless their URLs are given: then somebody else made them.
 * @throws MigrationError, UnsafeRoleError, ConfigError
 */
export async function prepareDatabase(config: Config): Promise<DatabaseUrls> {
  if (config.DATABASE_ADMIN_URL !== undefined) {
    await applyMigrations(config.DATABASE_ADMIN_URL, MIGRATIONS);
    await migrateQueue(config.DATABASE_ADMIN_URL);
  }
  const urls = await databaseUrlsOf(config);
  await requireSafeRole(urls.app);
  await requireMigrated(urls.app);
  return urls;
}
