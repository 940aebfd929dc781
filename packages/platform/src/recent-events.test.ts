import { expect, test } from "vitest";
import { openRecentEvents, type RecentEvent } from "./recent-events.ts";

function anEvent(seq: number, payload: unknown = { seq }): RecentEvent {
  const at = new Date(seq);
  return {
    ...{ stream: "run:1", tenantId: "t", type: "test.recent", version: 1, traceId: null },
    ...{ seq, at, payload: JSON.stringify(payload) },
  };
}

/** After everything that was heard before. */
const SINCE = Number.POSITIVE_INFINITY;

const seqsOf = (recent: ReturnType<typeof openRecentEvents>, after: number) =>
  recent.recall("run:1", after).map(({ seq }) => seq);

test("recalls what comes right after a position, and nothing when that is not known", () => {
  const recent = openRecentEvents();
  recent.remember([anEvent(4), anEvent(5)], SINCE);
  recent.remember([anEvent(6)], SINCE);
  expect([2, 3, 4, 6].map((after) => seqsOf(recent, after))).toEqual([[], [4, 5, 6], [5, 6], []]);
  expect(recent.recall("run:2", 0)).toEqual([]);
});

test("begins anew after a hole, and takes no notice of what comes too late", () => {
  const recent = openRecentEvents();
  recent.remember([anEvent(1)], SINCE);
  recent.remember([anEvent(3)], SINCE);
  recent.remember([anEvent(2)], SINCE);
  expect([0, 1, 2].map((after) => seqsOf(recent, after))).toEqual([[], [], [3]]);
});

test("forgets the streams that others append to, or all", () => {
  const recent = openRecentEvents();
  recent.remember([anEvent(1), { ...anEvent(1), stream: "run:2" }], SINCE);
  recent.forget(["run:1"]);
  expect(seqsOf(recent, 0)).toEqual([]);
  expect(recent.recall("run:2", 0)).toHaveLength(1);
  recent.forgetAll();
  expect(recent.recall("run:2", 0)).toEqual([]);
  recent.remember([anEvent(2)], SINCE);
  expect(seqsOf(recent, 1)).toEqual([2]);
});

test("keeps nothing that was on its way when others may have been missed", () => {
  const recent = openRecentEvents();
  const since = performance.now();
  recent.forgetAll();
  recent.remember([anEvent(1)], since);
  expect(recent.knows("run:1", 0)).toBe(false);
});

test("does not take for the end what others were heard to append to since", () => {
  const recent = openRecentEvents();
  const since = performance.now();
  recent.forget(["run:1"]);
  recent.remember([anEvent(1)], since);
  expect(recent.knows("run:1", 0)).toBe(false);
  recent.remember([anEvent(3)], performance.now() + 1);
  expect([recent.knows("run:1", 2), recent.knows("run:1", 3)]).toEqual([true, false]);
});

test("keeps the end of a long stream, and nothing that would fill the memory", () => {
  const recent = openRecentEvents();
  for (let seq = 1; seq <= 300; seq++) recent.remember([anEvent(seq)], SINCE);
  expect(seqsOf(recent, 0)).toEqual([]);
  expect(seqsOf(recent, 100)).toHaveLength(200);
  recent.remember([anEvent(301, "x".repeat(9 * 1024 * 1024))], SINCE);
  expect(seqsOf(recent, 300)).toEqual([]);
  expect(seqsOf(recent, 299)).toEqual([]);
});
