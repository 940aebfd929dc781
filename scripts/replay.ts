import { parseArgs } from "node:util";
import { findTenantOfRun, replayRun, type ReplayVerdict } from "@sba/agent/index";
import { findDatabase } from "@sba/launcher/running-database";
import { ConfigError, loadConfig } from "@sba/platform/config";
import { closeDatabase, connectDatabase } from "@sba/platform/db";
import { isUuid, parseId } from "@sba/platform/ids";

/**
 * Does a run that has ended once more, in memory, from what was recorded of it, and compares every event with its journal. Reads the
 * database; calls nothing and writes nothing. Exits with 0 when all are the same, with 1 and the first that is not.
 *
 *     npm run replay -- RUN_ID
 */

function uuidOf(id: string | undefined): string {
  const parsed = parseId(id ?? "");
  if (parsed?.type === "Run") return parsed.uuid;
  if (id !== undefined && isUuid(id)) return id;
  throw new ConfigError([`RUN_ID: ${id === undefined ? "is required" : `${id} is no id of a run`}`]);
}

function report({ hash, events, difference, changedTools }: ReplayVerdict): void {
  if (!difference) {
    console.log(`${hash}  ${events} events, replayed without a difference`);
    return;
  }
  process.exitCode = 1;
  console.log(`event ${difference.seq} of ${events} is another:`);
  console.log(`  recorded: ${JSON.stringify(difference.recorded) ?? "nothing"}`);
  console.log(`  replayed: ${JSON.stringify(difference.replayed) ?? "nothing"}`);
  if (changedTools.length > 0)
    console.log(
      `These tools are not what they were; replay with the release that ran the run: ${changedTools.join(", ")}`,
    );
}

try {
  const { positionals } = parseArgs({ allowPositionals: true, options: {} });
  const runId = uuidOf(positionals[0]);
  connectDatabase({ ...(await findDatabase(loadConfig())), poolSize: 2 });
  await findTenantOfRun(runId)
    .then((scope) => replayRun(scope, runId))
    .then(report)
    .finally(closeDatabase);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
