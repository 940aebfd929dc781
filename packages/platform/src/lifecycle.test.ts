import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { eventually } from "@sba/testkit/eventually";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { startParts, type Part } from "./lifecycle.ts";
import { setLogLevel } from "./log.ts";

beforeAll(() => {
  setLogLevel("silent");
});

describe("parts", () => {
  const log: string[] = [];
  afterEach(() => {
    log.length = 0;
  });
  const part = (name: string): Part => ({
    name,
    start: () => {
      log.push(`start ${name}`);
      return () => {
        log.push(`stop ${name}`);
      };
    },
  });
  const failing: Part = {
    name: "bad",
    start: () => {
      throw new Error("does not start");
    },
  };

  test("start in order and stop in reverse, once", async () => {
    const parts = await startParts([part("a"), part("b")]);
    await Promise.all([parts.stop(), parts.stop()]);
    expect(log).toEqual(["start a", "start b", "stop b", "stop a"]);
  });

  test("are stopped when a later one does not start, and the error passes on", async () => {
    await expect(startParts([part("a"), failing, part("c")])).rejects.toThrow("does not start");
    expect(log).toEqual(["start a", "stop a"]);
  });

  test("are all stopped when one of them cannot be, and it is said", async () => {
    const bad: Part = {
      name: "bad",
      start: () => () => {
        throw new Error("does not stop");
      },
    };
    const parts = await startParts([part("a"), bad, part("c")]);
    await expect(parts.stop()).rejects.toThrow(AggregateError);
    expect(log).toEqual(["start a", "start c", "stop c", "stop a"]);
  });
});

describe("a process", () => {
  let child: ChildProcess | undefined;
  afterEach(() => {
    child?.kill("SIGKILL");
  });

  /** Starts a scenario of the child and collects what it tells. */
  function start(scenario: string) {
    const told: unknown[] = [];
    const process = fork(join(import.meta.dirname, "lifecycle.test.child.ts"), [scenario]);
    child = process;
    process.on("message", (message) => told.push(message));
    const exited = once(process, "exit").then(([code]) => code as number);
    const ready = () => eventually(() => told.some((message) => typeof message === "object"));
    return { process, told, exited, ready };
  }
  const orderly = ["start a", "start b", { type: "ready", port: 1 }, "stop b", "stopped b", "stop a", "stopped a"];

  test.each(["SIGTERM", "SIGINT"] as const)(
    "stops its parts in reverse on %s and exits with 0, however often the signal comes",
    async (signal) => {
      const { process, told, exited, ready } = start("plain");
      await ready();
      process.kill(signal);
      await eventually(() => told.includes("stop b"));
      process.kill(signal);
      process.kill("SIGINT");
      expect(await exited).toBe(0);
      expect(told).toEqual(orderly);
    },
  );

  test("ends when its parent is gone", async () => {
    const { process, exited, ready } = start("plain");
    await ready();
    process.disconnect();
    expect(await exited).toBe(0);
  });

  test("exits with 1 when a part does not start, after stopping those that did", async () => {
    const { told, exited } = start("broken");
    expect(await exited).toBe(1);
    expect(told).toEqual(["start a", "stop a", "stopped a"]);
  });

  test("exits with 1 when a part does not stop", async () => {
    const { process, told, exited, ready } = start("stubborn");
    await ready();
    process.kill("SIGTERM");
    expect(await exited).toBe(1);
    expect(told).toContain("stopped a");
  });

  test("stops in order and exits with 1 after an error that nobody caught", async () => {
    const { told, exited } = start("uncaught");
    expect(await exited).toBe(1);
    expect(told).toContain("stopped a");
  });
});
