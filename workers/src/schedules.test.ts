import { setLogLevel } from "@sba/platform/log";
import { beforeAll, expect, test } from "vitest";
import { startSchedules } from "./schedules.ts";

beforeAll(() => {
  setLogLevel("silent");
});

test("runs at once, and again after each pause", async () => {
  const thrice = Promise.withResolvers<void>();
  let runs = 0;
  const stop = startSchedules([
    {
      name: "test",
      everyMs: 5,
      run: () => {
        if (++runs === 3) thrice.resolve();
        return Promise.resolve(0);
      },
    },
  ]);
  await thrice.promise;
  await stop();
  expect(runs).toBeGreaterThanOrEqual(3);
});

test("goes on after a failure, and does not disturb the others", async () => {
  const recovered = Promise.withResolvers<void>();
  let runs = 0;
  const stop = startSchedules([
    {
      name: "failing",
      everyMs: 5,
      run: () => {
        if (++runs < 3) throw new Error("no");
        recovered.resolve();
        return Promise.resolve(1);
      },
    },
    { name: "hopeless", everyMs: 5, run: () => Promise.reject(new Error("never")) },
  ]);
  await recovered.promise;
  await stop();
});

test("waits at its stop for what is under way, tells it, and begins nothing more", async () => {
  const begun = Promise.withResolvers<void>();
  const seen: string[] = [];
  const stop = startSchedules([
    {
      name: "test",
      everyMs: 1,
      run: (signal) =>
        new Promise((resolve) => {
          seen.push("begun");
          begun.resolve();
          signal.addEventListener("abort", () => {
            seen.push("told");
            resolve(0);
          });
        }),
    },
  ]);
  await begun.promise;
  await stop();
  expect(seen).toEqual(["begun", "told"]);
});
