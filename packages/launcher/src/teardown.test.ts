import { expect, test } from "vitest";
import { openTeardown, StartStopped } from "./teardown.ts";

test("ends what was started in reverse, once", async () => {
  const teardown = openTeardown();
  const ended: string[] = [];
  for (const name of ["database", "server"])
    await teardown.hold(
      () => name,
      (thing) => {
        ended.push(thing);
      },
    );
  teardown.onStopping(() => ended.push("announced"));
  await Promise.all([teardown.stop(), teardown.stop()]);
  expect(ended).toEqual(["announced", "server", "database"]);
});

test("ends what was just being started when it was stopped", async () => {
  const teardown = openTeardown();
  const starting = Promise.withResolvers<string>();
  const ended: string[] = [];
  const held = teardown.hold(
    () => starting.promise,
    (thing) => {
      ended.push(thing);
    },
  );
  const stopped = teardown.stop();
  starting.resolve("late");
  await expect(held).rejects.toThrow(StartStopped);
  await stopped;
  expect(ended).toEqual(["late"]);
});

test("starts nothing more once it stops", async () => {
  const teardown = openTeardown();
  await teardown.stop();
  let isStarted = false;
  await expect(
    teardown.hold(() => {
      isStarted = true;
    }),
  ).rejects.toThrow(StartStopped);
  expect(isStarted).toBe(false);
});

test("stops although something failed to start", async () => {
  const teardown = openTeardown();
  await expect(teardown.hold(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(teardown.stop()).resolves.toBeUndefined();
});
