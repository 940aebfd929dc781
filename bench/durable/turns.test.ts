import { expect, test } from "vitest";
import { takeTurns, type Contender } from "./turns.ts";

/** Does ten things in so many milliseconds, its first turn in none. */
function aContender(name: string, tookMs: number, log: string[]): Contender<string> {
  return {
    run: (durationMs, concurrency) => {
      log.push(`${name} ${durationMs} ${concurrency}`);
      return Promise.resolve({ results: Array.from({ length: 10 }, () => name), tookMs });
    },
  };
}

function computedMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

test("contenders alternate, and the first round only warms them up", async () => {
  const log: string[] = [];
  const contenders = { a: aContender("a", 100, log), b: aContender("b", 50, log) };
  const { a, b } = await takeTurns(contenders, { rounds: 2, roundMs: 40, concurrency: 3 });
  expect(log).toEqual(["a 20 3", "b 20 3", "a 40 3", "b 40 3", "a 40 3", "b 40 3"]);
  expect(a).toMatchObject({ rates: [100, 100], rate: 100, cpu: {} });
  expect(b).toMatchObject({ rates: [200, 200], rate: 200 });
  expect(b.results).toHaveLength(20);
});

// Linux says what a process has computed.
test.runIf(process.platform === "linux")(
  "counts what a process computes in its own turns, for each result",
  async () => {
    const busy: Contender<number> = {
      run: () => {
        for (const until = computedMicros() + 60_000; computedMicros() < until;);
        return Promise.resolve({ results: [1, 2], tookMs: 1 });
      },
      pids: () => ({ own: process.pid }),
    };
    const { one } = await takeTurns({ one: busy }, { rounds: 2, roundMs: 2, concurrency: 1 });
    // Two turns of at least 60 ms, two results each, by a clock that ticks every 10 ms.
    expect(one.cpu["own"]).toBeGreaterThanOrEqual(25);
  },
);
