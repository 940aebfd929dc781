import { setTimeout as delay } from "node:timers/promises";
import type { World } from "./world.ts";

/** What goes wrong, each at a moment when runs are in the middle of something. */
export interface Fault {
  readonly name: string;
  readonly needsRedis?: boolean;
  inject(world: World): Promise<void>;
}

/** Longer than a lease: the other worker has taken over by then. */
const ASLEEP_MS = 6_000;
const STALL_MS = 2_500;
const MUTE_MS = 300;
/** So much of what Redis acknowledged is gone: jobs that were added are missing, jobs that were done are there again. */
const ROLLED_BACK_BY_MS = 200;
/** Long before, something is sent outside. */
const HOLDS_WITHIN_MS = 10_000;

export const FAULTS: readonly Fault[] = [
  {
    name: "a worker is killed",
    inject: ({ workers: [worker] }) => worker.kill(),
  },
  {
    name: "both workers are killed, twice",
    inject: async ({ workers }) => {
      for (let times = 0; times < 2; times++) {
        await Promise.all(workers.map((worker) => worker.kill()));
        await Promise.all(workers.map((worker) => worker.ready()));
      }
    },
  },
  {
    name: "workers are killed before the world outside has answered",
    inject: async ({ workers, sink }) => {
      await Promise.race([sink.isHolding(), delay(HOLDS_WITHIN_MS)]);
      await Promise.all(workers.map((worker) => worker.kill()));
    },
  },
  { name: "a worker sleeps and wakes up late", inject: ({ workers }) => putToSleep(workers[0].pid()) },
  {
    name: "the server is killed",
    inject: ({ server }) => server.kill(),
  },
  {
    name: "connections to Postgres are cut",
    inject: async ({ postgres }) => {
      for (let times = 0; times < 5; times++) {
        postgres.cut();
        await delay(MUTE_MS);
      }
    },
  },
  {
    name: "Postgres stands still",
    inject: async ({ postgres }) => {
      postgres.stall();
      await delay(STALL_MS);
      postgres.resume();
    },
  },
  {
    name: "Postgres commits and nobody hears of it",
    inject: async ({ postgres }) => {
      for (let times = 0; times < 3; times++) {
        postgres.loseAnswers();
        await delay(MUTE_MS);
        postgres.cut();
        postgres.resume();
        await delay(MUTE_MS);
      }
    },
  },
  {
    name: "Postgres is killed",
    inject: ({ cluster }) => {
      process.kill(cluster.pid, "SIGKILL");
      return Promise.resolve();
    },
  },
  { name: "Redis is killed and comes back empty", needsRedis: true, inject: ({ redis }) => redis!.replace() },
  {
    name: "Redis comes back as it was a while ago",
    needsRedis: true,
    inject: async ({ redis }) => {
      await redis!.keep();
      await delay(ROLLED_BACK_BY_MS);
      await redis!.rollBack();
    },
  },
  {
    name: "connections to Redis are cut, then stand still",
    needsRedis: true,
    inject: async ({ redis }) => {
      redis!.proxy.cut();
      redis!.proxy.stall();
      await delay(STALL_MS);
      redis!.proxy.resume();
    },
  },
];

async function putToSleep(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await delay(ASLEEP_MS);
  process.kill(pid, "SIGCONT");
}
