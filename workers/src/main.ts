// First: what is traced must not be loaded before the tracing is.
import "@sba/platform/telemetry";
import { configureAgent, startDispatcher } from "@sba/agent/index";
import { configureKnowledge } from "@sba/knowledge/index";
import { loadConfig } from "@sba/platform/config";
import { startProcess } from "@sba/platform/lifecycle";
import { openServices, type Services } from "@sba/platform/services";
import { handlers } from "./handlers.ts";
import { openMetrics } from "./metrics.ts";
import { schedules, startSchedules } from "./schedules.ts";

/** The worker process: does the jobs of every domain, and the recurring work. Any number of them may run. */

let services: Services;

await startProcess("worker", [
  {
    name: "services",
    start: async () => {
      services = await openServices({ name: "sba-worker", config: loadConfig() });
      return () => services.close();
    },
  },
  {
    name: "domains",
    start: async () => {
      await configureKnowledge(loadConfig());
      await configureAgent(loadConfig());
      return undefined;
    },
  },
  {
    name: "runs and jobs",
    start: async () => {
      const { WORKER_CONCURRENCY: concurrency } = loadConfig();
      const drains = await Promise.all([
        startDispatcher({ capacity: concurrency }),
        services.queue.startWorkers(handlers, { concurrency }),
      ]);
      return async () => {
        await Promise.all(drains.map((drain) => drain()));
      };
    },
  },
  { name: "metrics", start: () => openMetrics(loadConfig(), services.queue) },
  { name: "schedules", start: () => startSchedules(schedules) },
]);
