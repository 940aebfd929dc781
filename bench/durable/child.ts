import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Processes of a benchmark: each is ready when it says so, then answers one question at a time. What they compute is counted for
 * each alone, which is why they are processes.
 */

export interface Child {
  readonly pid: number;
  /** @throws Error with what the child's answer failed with, or because it has ended */
  ask<Answer>(name: string, argument?: unknown): Promise<Answer>;
  stop(): Promise<void>;
}

export interface ChildOptions {
  readonly env?: NodeJS.ProcessEnv;
}

interface Question {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Answer {
  readonly type: "answer";
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** Starts a file of this folder and resolves when it is ready. @throws Error when it ends before */
export async function startChild(file: string, { env = {} }: ChildOptions = {}): Promise<Child> {
  const child = fork(new URL(file, import.meta.url), {
    env: { ...process.env, ...env },
    execArgv: ["--disable-warning=ExperimentalWarning"],
    serialization: "advanced",
  });
  const ended = once(child, "exit").then(([code, signal]) => {
    throw new Error(`${file} ended with ${String(code ?? signal)}`);
  });
  ended.catch(() => undefined); // heard by whoever waits for it
  await Promise.race([ended, once(child, "message")]);
  let questions = 0;
  return {
    pid: child.pid ?? 0,
    ask: async <Value>(name: string, argument?: unknown) => {
      const id = ++questions;
      child.send({ id, name, argument } satisfies Question);
      return (await Promise.race([ended, answerTo(child, id)])) as Value;
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

function answerTo(child: ChildProcess, id: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const listen = (message: Answer): void => {
      if (message.type !== "answer" || message.id !== id) return;
      child.off("message", listen);
      if (message.error === undefined) resolve(message.value);
      else reject(new Error(message.error));
    };
    child.on("message", listen);
  });
}

type Handlers = Readonly<Record<string, (argument: never) => unknown>>;

/** In a child, once: answers its parent from now on. */
export function answerParent(handlers: Handlers): void {
  process.on("message", (question: Question) => {
    void answer(handlers, question).then((message) => process.send?.(message));
  });
}

/** In a child that is its own: says that it is ready, and ends with its parent. */
export function serveParent(handlers: Handlers): void {
  answerParent(handlers);
  process.once("disconnect", () => process.exit(0));
  process.send?.({ type: "ready" });
}

async function answer(handlers: Handlers, { id, name, argument }: Question): Promise<Answer> {
  try {
    const handler = handlers[name];
    if (!handler) throw new Error(`this process knows nothing of ${name}`);
    return { type: "answer", id, value: await handler(argument as never) };
  } catch (error) {
    return { type: "answer", id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

export interface Memory {
  readonly rssMiB: number;
  readonly heapMiB: number;
}

/** In a child: what it holds when the garbage is gone. */
export function measureMemory(): Memory {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { rss, heapUsed } = process.memoryUsage();
  return { rssMiB: rss / 2 ** 20, heapMiB: heapUsed / 2 ** 20 };
}
