import { createAgent } from "@sba/agent/agent/agent";
import { addProvider } from "@sba/agent/model/registry";
import { givenMember } from "@sba/identity/testing";
import { serializeCaller, type SerializedCaller } from "@sba/platform/caller";
import { startRedisServer, type RedisServer } from "@sba/testkit/redis-server";
import { closing } from "../cleanup.ts";
import { SECRET_KEY, withDatabase, type OpenDatabase } from "../database.ts";
import { startChild, type Child, type ChildOptions } from "./child.ts";
import { scriptedProvider, SCRIPTED_MODEL } from "./model.ts";
import type { DurableOptions } from "./options.ts";
import { STATEMENT_SETTINGS } from "./profile.ts";

/** The parts of the system that a run goes through, each a process: Postgres, Redis, a worker, and what accepts runs. */
export interface DurableWorld {
  readonly database: OpenDatabase;
  readonly redis: RedisServer;
  readonly processes: Processes;
  readonly caller: SerializedCaller;
  /** Somebody else of the tenant, who may decide approvals. */
  readonly approver: SerializedCaller;
  readonly agentKey: string;
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
  // Before the domains are configured here: the agent's model has to be known.
  addProvider(scriptedProvider);
  return closing(
    () => redis.stop(),
    () =>
      withDatabase(
        redis.url,
        async (database) => {
          const { caller: owner } = database;
          await createAgent(owner, AGENT);
          const approver = await givenMember("admin", { owner, tenantId: owner.tenantId, ownerEmail: "" });
          const env = environmentOf(database, redis);
          const processes = await startProcesses({ env });
          return closing(processes.stop, () =>
            work({
              ...{ database, redis, processes, agentKey: AGENT.key },
              ...{ caller: serializeCaller(owner), approver: serializeCaller(approver.caller) },
            }),
          );
        },
        profileTo === undefined ? {} : STATEMENT_SETTINGS,
      ),
  );
}

/** Of ours. */
export interface Processes {
  worker: Child;
  /** Accepts runs and follows them. */
  readonly starter: Child;
  /** Ends the worker, as a deployment does, and starts another. */
  restartWorker(): Promise<void>;
  stop(): Promise<void>;
}

export async function startProcesses(options: ChildOptions): Promise<Processes> {
  const processes: Processes = {
    worker: await startChild("./worker.ts", options),
    starter: await startChild("./starter.ts", options),
    restartWorker: async () => {
      await processes.worker.stop();
      processes.worker = await startChild("./worker.ts", options);
    },
    stop: async () => {
      await Promise.all([processes.worker.stop(), processes.starter.stop()]);
    },
  };
  return processes;
}

export function environmentOf({ urls, folder }: OpenDatabase, { url }: RedisServer): NodeJS.ProcessEnv {
  return {
    ...{ NODE_ENV: "production", LOG_LEVEL: "error", SECRET_KEY, DATA_DIR: folder },
    ...{ DATABASE_URL: urls.app, DATABASE_SYSTEM_URL: urls.system, REDIS_URL: url },
  };
}
