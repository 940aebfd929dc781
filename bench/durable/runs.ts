import type { Spell } from "../load.ts";
import type { RunTimes, StartRuns } from "./starter.ts";
import type { Contender } from "./turns.ts";
import type { DurableWorld } from "./world.ts";

/** The three-step run on the run loop as it is. */

export const STEPS = 3;
const PROMPT = "look it up";

/** What is needed to run them. */
export interface RunsPlace extends Pick<DurableWorld, "caller" | "agentKey" | "processes"> {
  readonly database: { readonly pid: number };
  readonly redis: { readonly pid: number };
}

export function ownRuns({ caller, agentKey, processes, database, redis }: RunsPlace): Contender<RunTimes> {
  return {
    run: (durationMs, concurrency) => {
      const load: StartRuns = { caller, agentKey, prompt: PROMPT, durationMs, concurrency };
      return processes.starter.ask<Spell<RunTimes>>("startRuns", load);
    },
    pids: () => ({
      ...{ worker: processes.worker.pid, starter: processes.starter.pid },
      ...{ Postgres: database.pid, Redis: redis.pid },
    }),
  };
}
