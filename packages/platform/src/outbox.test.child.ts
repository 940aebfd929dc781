import { aCaller } from "@sba/testkit/fixtures";
import { z } from "zod";
import { connectDatabase, withTenant } from "./db.ts";
import { defineJob, enqueue } from "./jobs.ts";
import { setLogLevel } from "./log.ts";
import { openQueue } from "./queue.ts";
import { startRelay } from "./outbox.ts";

/** A process that dies right after the commit, before its relay can do anything; for `outbox.test.ts`. */
if (import.meta.main) {
  setLogLevel("silent");
  const [app = "", system = "", queueName = ""] = process.argv.slice(2);
  connectDatabase({ app, system });
  startRelay(await openQueue({ systemUrl: system }));
  const caller = aCaller();
  await withTenant(caller, async (tx) => {
    await enqueue(tx, caller, defineJob("test.job", z.object({ label: z.string() }), { queue: queueName }), {
      label: "orphan",
    });
    tx.afterCommit(() => {
      process.kill(process.pid, "SIGKILL");
    });
  });
}
