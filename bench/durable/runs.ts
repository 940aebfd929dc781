import type { Spell } from "../load.ts";
import { APPROVAL_PROMPT } from "./model.ts";
import type { RunTimes, StartRuns } from "./starter.ts";
import type { Contender } from "./turns.ts";
import type { DurableWorld } from "./world.ts";

/** The three-step run on the run loop as it is. */

export const STEPS = 3;
export const PROMPTS = { run: "look it up", approval: APPROVAL_PROMPT };

export function ownRuns(world: DurableWorld): Contender<RunTimes> {
  const { caller, agentKey, starter, database, redis } = world;
  return {
    run: (durationMs, concurrency) => {
      const load: StartRuns = { caller, agentKey, prompt: PROMPTS.run, durationMs, concurrency };
      return starter.ask<Spell<RunTimes>>("startRuns", load);
    },
    pids: () => ({ worker: world.worker.pid, starter: starter.pid, Postgres: database.pid, Redis: redis.pid }),
  };
}
