import { Queue, Worker } from "bullmq";
import { serveParent } from "./child.ts";
import { QUEUE, STEPS_OF_A_CHAIN, type BareJob } from "./bullmq.ts";

/** A worker of bare jobs: each does nothing, and asks for the next of its chain. */

const connection = { host: "127.0.0.1", port: Number(process.env["BARE_REDIS_PORT"]), maxRetriesPerRequest: null };
const queue = new Queue<BareJob>(QUEUE, { connection });
const worker = new Worker<BareJob>(
  QUEUE,
  async ({ data: { chain, step } }) => {
    if (step < STEPS_OF_A_CHAIN) await queue.add("step", { chain, step: step + 1 }, { jobId: `${chain}-${step + 1}` });
  },
  { connection, concurrency: 32, removeOnComplete: { count: 1_000 }, removeOnFail: { count: 1_000 } },
);
await worker.waitUntilReady();
serveParent({});
