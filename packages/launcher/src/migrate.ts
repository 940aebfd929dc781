import { ConfigError, loadConfig } from "@sba/platform/config";
import { prepareDatabase } from "./database.ts";
import { tellSupervisor } from "./messages.ts";

/**
 * Brings a database up to this version, as its owner: the job before a deployment. `npm start` runs it too, in a process that
 * ends, so that the supervisor does not keep in memory what only this needs.
 */
try {
  const config = loadConfig();
  const isStandalone = process.send === undefined;
  if (isStandalone && config.DATABASE_ADMIN_URL === undefined)
    throw new ConfigError(["DATABASE_ADMIN_URL: is required to migrate"]);
  const urls = await prepareDatabase(config);
  if (isStandalone) console.log("The database is up to date.");
  tellSupervisor({ type: "migrated", urls });
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  console.error(reason);
  tellSupervisor({ type: "refused", reason });
  process.exitCode = 1;
}
