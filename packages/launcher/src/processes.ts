import { join } from "node:path";
import { keepRunning, type KeptProcess } from "./child.ts";
import type { DataFolder } from "./data-folder.ts";
import { serverAddressesSchema, type ServerAddresses } from "./messages.ts";
import { say } from "./progress.ts";
import type { Teardown } from "./teardown.ts";

/** The two processes that do the work, and what happens when one of them dies. */
export interface Processes {
  /** Resolves when both can work. @throws when one dies again and again before. */
  ready(): Promise<ServerAddresses>;
  pids(): { readonly server: number | null; readonly worker: number | null };
  /** Is called when one that was started again is ready. */
  onChange(listener: () => void): void;
}

const ENTRIES = {
  server: join(import.meta.dirname, "server.ts"),
  worker: join(import.meta.dirname, "../../../workers/src/main.ts"),
};
/** Enough for many times the load of one machine's users, and small enough that V8 collects before memory is felt. */
const HEAP_MEGABYTES = { server: 384, worker: 384 };
/**
 * Somebody waits for each answer of the server; on one machine the work behind it gives way to it. With 16 runs at once on two
 * cores half of the starts were accepted within 45 ms, where it had been 69.
 */
const NICENESS = { server: 0, worker: 10 };

export async function startProcesses(
  teardown: Teardown,
  folder: DataFolder,
  env: NodeJS.ProcessEnv,
): Promise<Processes> {
  const listeners: (() => void)[] = [];
  // The server's own copy: its port is written into it.
  const envs = { server: { ...env }, worker: env };
  const keep = (name: keyof typeof ENTRIES): KeptProcess => {
    const logFile = join(folder.path, `${name}.log`);
    return keepRunning(
      {
        ...{ name, entry: ENTRIES[name], env: envs[name], logFile },
        heapMegabytes: HEAP_MEGABYTES[name],
        niceness: NICENESS[name],
      },
      {
        onStarted: (pid) => {
          folder.record(name, pid);
        },
        onReadyAgain: () => {
          say(`The ${name} is back.`);
          for (const listener of listeners) listener();
        },
        onDied: (reason) => {
          say(`The ${name} died (${reason}) and is started again; its log is ${logFile}.`);
        },
      },
    );
  };
  const { server, worker } = await teardown.hold(
    () => ({ server: keep("server"), worker: keep("worker") }),
    async (both) => {
      await Promise.all([both.server.stop(), both.worker.stop()]);
    },
  );
  return {
    ready: async () => {
      const [message] = await Promise.all([server.ready, worker.ready]);
      const ready = serverAddressesSchema.parse(message);
      // Started again, it listens where it did: clients come back to the same place.
      envs.server["PORT"] = new URL(ready.graphqlUrl).port;
      return ready;
    },
    pids: () => ({ server: server.pid() ?? null, worker: worker.pid() ?? null }),
    onChange: (listener) => {
      listeners.push(listener);
    },
  };
}
