import { afterEach, expect, test, vi } from "vitest";
import { keepLease, LEASE_MS } from "./lease.ts";

const attributes = { "test.id": "1" };
const drain = new AbortController().signal;

afterEach(() => {
  vi.restoreAllMocks();
});

/** A process that was stopped for as long. */
function sleep(ms: number): void {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + ms);
}

function keep(renew: () => Promise<boolean>) {
  const renewed = vi.fn(renew);
  return { renewed, keeper: keepLease({ renew: renewed, drain, attributes }) };
}

test("holds by the process's own clock without asking", async () => {
  const { keeper, renewed } = keep(() => Promise.resolve(true));
  await keeper.hold();
  keeper.stop();
  expect(renewed).not.toHaveBeenCalled();
});

test("is asked for by a process that wakes up late, once, and goes on when nobody else has it", async () => {
  const { keeper, renewed } = keep(() => Promise.resolve(true));
  sleep(LEASE_MS);
  await keeper.hold();
  await keeper.hold();
  keeper.stop();
  expect(renewed).toHaveBeenCalledTimes(1);
});

test("that is another's by then lets nothing begin", async () => {
  const { keeper } = keep(() => Promise.resolve(false));
  sleep(LEASE_MS);
  await expect(keeper.hold()).rejects.toMatchObject({ code: "OPERATION_CANCELLED" });
  expect(keeper.signal.aborted).toBe(true);
  keeper.stop();
});

test("of which nobody can say whose it is lets nothing begin, and stops nothing", async () => {
  const { keeper } = keep(() => Promise.reject(new Error("the database is away")));
  sleep(LEASE_MS);
  await expect(keeper.hold()).rejects.toThrow("the database is away");
  expect(keeper.signal.aborted).toBe(false);
  keeper.stop();
});
