import { join } from "node:path";
import type { DatabaseUrls } from "@sba/platform/db";
import { endChild, runToEnd, startChild } from "./child.ts";
import type { DataFolder } from "./data-folder.ts";
import { migrationMessageSchema, type MigrationMessage } from "./messages.ts";
import { step } from "./progress.ts";
import type { Teardown } from "./teardown.ts";

const ENTRY = join(import.meta.dirname, "migrate.ts");
const HEAP_MEGABYTES = 192;

/** Brings the database up to this version and returns the URLs to serve with. @throws Error with the reason when it may not be served. */
export function migrate(teardown: Teardown, folder: DataFolder, env: NodeJS.ProcessEnv): Promise<DatabaseUrls> {
  return step("Preparing the database", async () => {
    const logFile = join(folder.path, "migrate.log");
    const spec = { name: "migration", entry: ENTRY, env, heapMegabytes: HEAP_MEGABYTES, logFile };
    const child = await teardown.hold(() => startChild(spec), endChild);
    let answer: MigrationMessage | undefined;
    child.on("message", (message) => {
      answer = migrationMessageSchema.parse(message);
    });
    await runToEnd(child);
    if (answer?.type === "migrated") return answer.urls;
    throw new Error(answer?.reason ?? `The database could not be prepared: the log is ${logFile}.`);
  });
}
