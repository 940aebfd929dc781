import { createAgent } from "@sba/agent/agent/agent";
import { addProvider } from "@sba/agent/model/registry";
import { serializeCaller, type SerializedCaller } from "@sba/platform/caller";
import { startRedisServer, type RedisServer } from "@sba/testkit/redis-server";
import { closing } from "../cleanup.ts";
import { SECRET_KEY, withDatabase, type OpenDatabase } from "../database.ts";
import { startChild, type Child } from "./child.ts";
import { scriptedProvider, SCRIPTED_MODEL } from "./model.ts";
import type { DurableOptions } from "./options.ts";
import { STATEMENT_SETTINGS } from "./profile.ts";

/** The parts of the system that a run goes through, each a process: Postgres, Redis, a worker, and what accepts runs. */
export interface DurableWorld {
  readonly database: OpenDatabase;
  readonly redis: RedisServer;
  /** Of the processes. */
  readonly env: NodeJS.ProcessEnv;
  readonly caller: SerializedCaller;
  readonly agentKey: string;
  /** Accepts runs and follows them. */
  readonly starter: Child;
  worker: Child;
}

export const AGENT = {
  key: "three-steps",
  name: "Three steps",
  instructions: "You look something up and say so.",
  model: SCRIPTED_MODEL,
  tools: ["memory.read", "task.create"],
};

export async function inDurableWorld<T>(
  { profileTo }: DurableOptions,
  work: (world: DurableWorld) => Promise<T>,
): Promise<T> {
  const redis = await startRedisServer();
  return closing(
    () => redis.stop(),
    () => {
      // Before the domains are configured here: the agent's model has to be known.
      addProvider(scriptedProvider);
      return withDatabase(
        redis.url,
        async (database) => {
          await createAgent(database.caller, AGENT);
          const env = environmentOf(database, redis);
          const execArgv = profileTo === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileTo}`];
          const start = (file: string): Promise<Child> => startChild(file, { env, execArgv });
          const caller = serializeCaller(database.caller);
          const world = {
            ...{ database, redis, env, caller, agentKey: AGENT.key },
            worker: await start("./worker.ts"),
            starter: await start("./starter.ts"),
          };
          return closing(
            async () => {
              await Promise.all([world.worker.stop(), world.starter.stop()]);
            },
            () => work(world),
          );
        },
        profileTo === undefined ? {} : STATEMENT_SETTINGS,
      );
    },
  );
}

function environmentOf({ urls, folder }: OpenDatabase, { url }: RedisServer): NodeJS.ProcessEnv {
  return {
    ...{ NODE_ENV: "production", LOG_LEVEL: "error", SECRET_KEY, DATA_DIR: folder },
    ...{ DATABASE_URL: urls.app, DATABASE_SYSTEM_URL: urls.system, REDIS_URL: url },
  };
}
