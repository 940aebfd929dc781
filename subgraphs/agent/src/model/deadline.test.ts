import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { openDeadline } from "./deadline.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const timeouts = { firstTokenMs: 1_000, betweenTokensMs: 100, turnMs: 5_000 };
const open = (signal = new AbortController().signal) => openDeadline(timeouts, signal);

it("waits for the first token longer than for the next ones", () => {
  const deadline = open();
  vi.advanceTimersByTime(999);
  expect(deadline.expired()).toBeUndefined();
  deadline.alive();
  vi.advanceTimersByTime(99);
  expect(deadline.expired()).toBeUndefined();
  vi.advanceTimersByTime(1);
  expect(deadline.signal.aborted).toBe(true);
  expect(deadline.expired()).toMatchObject({
    code: "AGENT_MODEL_TIMED_OUT",
    retryable: true,
    details: { waitedFor: "nextToken", timeoutMs: 100 },
  });
});

it("gives up when there is no first token", () => {
  const deadline = open();
  vi.advanceTimersByTime(1_000);
  expect(deadline.expired()).toMatchObject({ details: { waitedFor: "firstToken", timeoutMs: 1_000 } });
});

it("starts the wait anew with each token, up to the time of the whole turn", () => {
  const deadline = open();
  for (let ms = 0; ms < 4_950; ms += 50) {
    deadline.alive();
    vi.advanceTimersByTime(50);
  }
  expect(deadline.expired()).toBeUndefined();
  deadline.alive();
  vi.advanceTimersByTime(50);
  expect(deadline.expired()).toMatchObject({ details: { waitedFor: "turn", timeoutMs: 5_000 } });
});

it("passes the caller's abort on without calling it a timeout, and leaves no clock behind", () => {
  const controller = new AbortController();
  const deadline = open(controller.signal);
  deadline.alive();
  controller.abort();
  expect(deadline.signal.aborted).toBe(true);
  expect(deadline.expired()).toBeUndefined();
  deadline.close();
  expect(vi.getTimerCount()).toBe(0);
});
