import { z } from "zod";
import { defineJob, handle } from "./jobs.ts";
import { setLogLevel } from "./log.ts";
import { openQueue } from "./queue.ts";

/** A worker in a process of its own, for `queue.test.ts`: it tells its parent which job it has begun, and never ends one. */

/** The job that the child begins and its parent's test then kills it for. */
export const holdJob = (queue: string) =>
  defineJob("test.hold", z.object({ label: z.string() }), { queue, attempts: 2 });

if (import.meta.main) {
  setLogLevel("silent");
  const [systemUrl = "", redisUrl, queue = ""] = process.argv.slice(2);
  const worker = await openQueue({ systemUrl, redisUrl: redisUrl === "" ? undefined : redisUrl });
  const hold = handle(holdJob(queue), async (_caller, { label }) => {
    process.send?.({ begun: label });
    await new Promise(() => undefined);
  });
  await worker.startWorkers([hold], { concurrency: 1 });
  process.send?.({ type: "ready" });
}
