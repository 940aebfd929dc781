import { setTimeout as delay } from "node:timers/promises";
import { logger } from "./log.ts";

/** Starts the parts of a process in order and stops them in reverse, once, however often it is asked to. */

/** How a part that was started is stopped. */
export type Stop = () => Promise<void> | void;

/** One part of a process: a connection, a server, a pool of workers. */
export interface Part {
  readonly name: string;
  /** Resolves when the parts that follow may rely on it. */
  start(): Promise<Stop | undefined> | Stop | undefined;
}

/** Everything has to have ended after so long; supervisors kill after 10 s. */
const DRAIN_TIMEOUT_MS = 9_500;

/** Parts under way. Stopping them again waits for the same end. */
export interface Parts {
  /** Stops in reverse order; one that fails does not keep the others from stopping. @throws AggregateError of what failed. */
  stop(): Promise<void>;
}

/** Starts parts in order; when one fails, those before it are stopped. @throws what the part threw. */
export async function startParts(parts: readonly Part[]): Promise<Parts> {
  const started: { readonly name: string; readonly stop: Stop }[] = [];
  let stopping: Promise<void> | undefined;
  const running: Parts = { stop: () => (stopping ??= stopAll(started)) };
  for (const part of parts) {
    try {
      const stop = await part.start();
      if (stop) started.push({ name: part.name, stop });
    } catch (error) {
      await running.stop().catch((stopError: unknown) => {
        logger.error({ err: stopError }, "a part could not be stopped");
      });
      throw error;
    }
  }
  return running;
}

async function stopAll(started: readonly { readonly name: string; readonly stop: Stop }[]): Promise<void> {
  const failures: unknown[] = [];
  for (const { name, stop } of started.toReversed()) {
    try {
      await stop();
      logger.debug({ part: name }, "part stopped");
    } catch (error) {
      logger.error({ part: name, err: error }, "a part could not be stopped");
      failures.push(error);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, "parts could not be stopped");
}

/** What the parent should know of a process that is ready: addresses. */
export type ReadyFacts = Readonly<Record<string, unknown>>;

/**
 * Runs a process: starts its parts, tells its parent (`{ type: "ready", ...facts }` when there is an IPC channel), and ends on
 * SIGTERM, SIGINT or when the parent is gone: parts are stopped in reverse within 10 s and the exit code is 0. A second
 * signal changes nothing. A part that does not start, an error that nobody caught, or a drain that takes too long ends
 * it with 1.
 */
export async function startProcess(
  name: string,
  parts: readonly Part[],
  describe: () => ReadyFacts = () => ({}),
): Promise<void> {
  const asked = Promise.withResolvers<number>();
  listenForTheEnd(asked.resolve);
  // A signal that comes while parts still start stops them once they have; one that hangs is not waited for.
  const givenUp = asked.promise
    .then(() => delay(DRAIN_TIMEOUT_MS))
    .then(() => {
      throw new Error("it was still starting when it was to stop");
    });
  const running = await Promise.race([startParts(parts), givenUp]).catch((error: unknown) => {
    logger.fatal({ process: name, err: error }, "process could not be started");
    return undefined;
  });
  if (!running) process.exit(1);
  logger.info({ process: name }, "process is ready");
  process.send?.({ type: "ready", ...describe() });
  const code = await asked.promise;
  logger.info({ process: name }, "process is stopping");
  const drained = await Promise.race([
    running.stop().then(
      () => true,
      () => false,
    ),
    delay(DRAIN_TIMEOUT_MS, false),
  ]);
  if (!drained) logger.error({ process: name }, "process did not stop cleanly");
  process.exit(drained ? code : 1);
}

function listenForTheEnd(end: (code: number) => void): void {
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => {
      end(0);
    });
  // The channel closes when the parent dies, however it dies: nobody would be left to stop this process.
  process.on("disconnect", () => {
    end(0);
  });
  const fail = (error: unknown): void => {
    logger.fatal({ err: error }, "an error that nobody caught");
    end(1);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
}
