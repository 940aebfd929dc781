import { OperationFailed } from "@sba/platform/execute";
import { eventually } from "@sba/testkit/eventually";
import { GraphQLError } from "graphql";
import { describe, expect, test } from "vitest";
import { createFanOut, type FanOut, type Sink, type StreamCursor, type StreamSource } from "./fan-out.ts";
import { openQueue, type Queue } from "./queue.ts";
import { StreamItem, type Batch } from "./stream-item.ts";

const item = (number: number, resumable = true, text = ""): StreamItem =>
  new StreamItem({ data: { number, ...(text ? { text } : {}) } }, resumable ? String(number) : undefined);

/** A source under the test's control: a journal of numbers, of which each upstream reads what comes after its cursor. */
function numbers(family = "numbers", { resumable = true, text = "" } = {}) {
  const journal: number[] = [];
  const upstreams = new Set<{ queue: Queue<StreamItem>; after: number }>();
  const opened: StreamCursor[] = [];
  const source: StreamSource = {
    family,
    resumable,
    open: (after) => {
      opened.push(after);
      const upstream = {
        after: Number(after ?? 0),
        queue: openQueue<StreamItem>(() => {
          upstreams.delete(upstream);
        }),
      };
      upstreams.add(upstream);
      for (const number of journal)
        if (resumable && number > upstream.after) upstream.queue.push(item(number, resumable, text));
      return upstream.queue;
    },
  };
  return {
    source,
    opened,
    get open() {
      return upstreams.size;
    },
    /** Of the upstreams, what was not taken. */
    get waiting() {
      return [...upstreams].reduce((sum, { queue }) => sum + queue.size, 0);
    },
    tell: (...told: number[]) => {
      journal.push(...told);
      for (const { queue } of upstreams) for (const number of told) queue.push(item(number, resumable, text));
    },
    lose: (error: unknown) => {
      for (const upstream of upstreams) {
        upstream.queue.end(error);
        upstreams.delete(upstream);
      }
    },
    end: () => {
      for (const { queue } of upstreams) queue.end();
    },
  };
}

/** A subscriber: what it was given, in how many writes, and how it ended. It takes `room` more writes before it is full. */
function listen(fanOut: FanOut, source: StreamSource, after: StreamCursor, room = Number.POSITIVE_INFINITY) {
  const heard: unknown[] = [];
  const batches: Batch[] = [];
  let ended: { error: OperationFailed | undefined } | undefined;
  let left = room;
  const sink: Sink = {
    get hasRoom() {
      return left > 0;
    },
    write: (batch) => {
      left--;
      batches.push(batch);
      heard.push(...batch.items.map(({ result }) => result.data?.["number"]));
    },
    end: (error) => {
      ended = { error };
    },
  };
  const subscription = fanOut.subscribe(source, after, sink);
  return {
    heard,
    batches,
    subscription,
    get ended() {
      return ended;
    },
    drain: (more = Number.POSITIVE_INFINITY) => {
      left = more;
      subscription.room();
    },
  };
}

const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, at) => first + at);
const until = (check: () => unknown): Promise<void> => eventually(() => expect(check()).toBe(true));
const failure = (code: string): OperationFailed =>
  new OperationFailed([new GraphQLError("lost", { extensions: { code } })]);

describe("identical subscriptions", () => {
  test("share one upstream and one serialisation, and the last to leave ends it", async () => {
    const told = numbers();
    const fanOut = createFanOut();
    const all = Array.from({ length: 100 }, () => listen(fanOut, told.source, null));
    await until(() => told.open === 1);
    told.tell(1);
    await until(() => all.every(({ heard }) => heard.length === 1));
    expect([told.opened, fanOut.upstreams]).toEqual([[null], 1]);
    expect(new Set(all.map(({ batches }) => batches[0])).size).toBe(1);
    for (const { subscription } of all.slice(1)) subscription.leave();
    expect(told.open).toBe(1);
    all[0]?.subscription.leave();
    expect([told.open, fanOut.upstreams]).toEqual([0, 0]);
  });

  test("of different families do not", () => {
    const fanOut = createFanOut();
    for (const family of ["one", "other"]) listen(fanOut, numbers(family).source, null);
    expect(fanOut.upstreams).toBe(2);
  });

  test("that begin a little later are given what was missed, from memory", async () => {
    const told = numbers();
    const fanOut = createFanOut();
    const first = listen(fanOut, told.source, null);
    await until(() => told.open === 1);
    told.tell(1, 2);
    await until(() => first.heard.length === 2);
    const second = listen(fanOut, told.source, null);
    await until(() => second.heard.length === 2);
    expect([second.heard, told.opened]).toEqual([[1, 2], [null]]);
  });

  test("are read again when memory is old: what is joined to an event is of its own moment", async () => {
    const told = numbers();
    const fanOut = createFanOut({ rememberedMs: 0 });
    const first = listen(fanOut, told.source, null);
    told.tell(1, 2);
    await until(() => first.heard.length === 2);
    const second = listen(fanOut, told.source, null);
    await until(() => second.heard.length === 2);
    expect(told.opened).toEqual([null, null]);
  });

  test("that come from different cursors are one upstream once they have come to the same event", async () => {
    const told = numbers();
    told.tell(1, 2, 3, 4);
    const fanOut = createFanOut();
    const [early, late] = [listen(fanOut, told.source, "1"), listen(fanOut, told.source, "3")];
    await until(() => early.heard.length === 3 && late.heard.length === 1 && told.open === 1);
    expect([early.heard, late.heard]).toEqual([[2, 3, 4], [4]]);
    told.tell(5);
    await until(() => early.heard.at(-1) === 5 && late.heard.at(-1) === 5);
  });

  test("never share a start that only their consumer's acknowledgement says, and do share what follows", async () => {
    const told = numbers();
    const fanOut = createFanOut();
    const [one, other] = [{ consumer: "a" }, { consumer: "a" }];
    const all = [listen(fanOut, told.source, one), listen(fanOut, told.source, other)];
    await until(() => told.open === 2);
    expect(told.opened).toEqual([one, other]);
    told.tell(1);
    await until(() => told.open === 1);
    told.tell(2);
    await until(() => all.every(({ heard }) => heard.length === 2));
    expect(all.map(({ heard }) => heard)).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });
});

describe("a burst", () => {
  test("leaves in few writes, in order", async () => {
    const told = numbers();
    const reader = listen(createFanOut({ windowMs: 20 }), told.source, null);
    told.tell(1);
    await until(() => reader.heard.length === 1);
    told.tell(...upTo(100, 2));
    await until(() => reader.heard.length === 100);
    expect(reader.heard).toEqual(upTo(100));
    expect(reader.batches).toHaveLength(2);
  });
});

describe("a subscriber whose connection is full", () => {
  test("is given what it missed in one write when it has drained, and the others do not wait for it", async () => {
    const told = numbers();
    const fanOut = createFanOut({ windowMs: 0 });
    const [slow, quick] = [listen(fanOut, told.source, null, 1), listen(fanOut, told.source, null)];
    for (const number of upTo(20)) {
      told.tell(number);
      await until(() => quick.heard.length === number);
    }
    expect(slow.heard).toEqual([1]);
    slow.drain();
    expect([slow.heard, slow.batches.length, told.opened.length]).toEqual([upTo(20), 2, 1]);
  });

  test("is replayed from its cursor when memory does not reach so far, and is live again in the end", async () => {
    const text = "x".repeat(1000);
    const told = numbers("long", { text });
    const fanOut = createFanOut({ windowMs: 0, maxQueuedBytes: 4_000 });
    const [slow, quick] = [listen(fanOut, told.source, null, 1), listen(fanOut, told.source, null)];
    for (const number of upTo(50)) {
      told.tell(number);
      await until(() => quick.heard.length === number);
    }
    expect(slow.heard).toEqual([1]);
    slow.drain();
    await until(() => slow.heard.length === 50 && fanOut.upstreams === 1);
    expect(told.opened).toEqual([null, "1"]);
    told.tell(51);
    await until(() => slow.heard.length === 51 && quick.heard.length === 51);
    expect(slow.heard).toEqual(upTo(51));
  });

  test("alone makes its source wait", async () => {
    const told = numbers("alone", { text: "x".repeat(40_000) });
    const only = listen(createFanOut({ windowMs: 0 }), told.source, null, 1);
    told.tell(...upTo(100));
    await until(() => only.heard.length > 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(told.waiting).toBeGreaterThan(90);
    only.drain();
    await until(() => only.heard.length === 100);
    expect([only.heard, told.opened]).toEqual([upTo(100), [null]]);
  });

  test("ends with a typed error when its stream has no cursor to go on from", async () => {
    const told = numbers("live", { resumable: false, text: "x".repeat(1000) });
    const fanOut = createFanOut({ windowMs: 0, maxQueuedBytes: 3_000 });
    const [slow, quick] = [listen(fanOut, told.source, undefined, 1), listen(fanOut, told.source, undefined)];
    await until(() => told.open === 1);
    for (const number of upTo(10)) {
      told.tell(number);
      await until(() => quick.heard.length === number);
    }
    expect(slow.ended?.error).toMatchObject({
      errors: [{ extensions: { code: "RATE_LIMITED", reason: "SUBSCRIPTION_TOO_SLOW" } }],
    });
    expect(quick.ended).toBeUndefined();
  });

  test("is given the rest before it is told of the end", async () => {
    const told = numbers();
    const [slow, quick] = ((fanOut) =>
      [listen(fanOut, told.source, null, 1), listen(fanOut, told.source, null)] as const)(
      createFanOut({ windowMs: 0 }),
    );
    await until(() => told.open === 1);
    told.tell(1);
    await until(() => quick.heard.length === 1);
    told.tell(2);
    told.end();
    await until(() => quick.ended !== undefined);
    expect([slow.heard, slow.ended]).toEqual([[1], undefined]);
    slow.drain();
    expect([slow.heard, slow.ended]).toEqual([[1, 2], { error: undefined }]);
  });
});

describe("an upstream", () => {
  test("that is lost is opened again after the last event", async () => {
    const told = numbers();
    const reader = listen(createFanOut({ resumeDelaysMs: [1, 1] }), told.source, null);
    await until(() => told.open === 1);
    told.tell(1);
    await until(() => reader.heard.length === 1);
    told.lose(failure("UNAVAILABLE"));
    told.tell(2);
    await until(() => reader.heard.length === 2);
    expect([reader.heard, told.opened]).toEqual([
      [1, 2],
      [null, "1"],
    ]);
  });

  test("that stays lost ends its subscribers with its error", async () => {
    const lost = failure("UNAVAILABLE");
    const source: StreamSource = { ...numbers().source, open: () => ({ next: () => Promise.reject(lost) }) };
    const fanOut = createFanOut({ resumeDelaysMs: [1, 1] });
    const reader = listen(fanOut, source, null);
    await until(() => reader.ended !== undefined);
    expect([reader.ended, fanOut.upstreams]).toEqual([{ error: lost }, 0]);
  });

  test("that fails for another reason is not tried again", async () => {
    const told = numbers();
    const reader = listen(createFanOut({ resumeDelaysMs: [1] }), told.source, null);
    await until(() => told.open === 1);
    told.lose(failure("NOT_FOUND"));
    await until(() => reader.ended !== undefined);
    expect(reader.ended?.error).toMatchObject({ errors: [{ extensions: { code: "NOT_FOUND" } }] });
    expect(told.opened).toEqual([null]);
  });

  test("that completes completes its subscribers, after the last event", async () => {
    const told = numbers();
    const fanOut = createFanOut();
    const all = [listen(fanOut, told.source, null), listen(fanOut, told.source, null)];
    await until(() => told.open === 1);
    told.tell(1);
    told.end();
    await until(() => all.every(({ ended }) => ended !== undefined));
    expect(all.map(({ heard, ended }) => [heard, ended])).toEqual([
      [[1], { error: undefined }],
      [[1], { error: undefined }],
    ]);
    expect(fanOut.upstreams).toBe(0);
  });
});

describe("a subscription", () => {
  test("that leaves hears nothing more, and its upstream ends", async () => {
    const told = numbers();
    const reader = listen(createFanOut(), told.source, null);
    await until(() => told.open === 1);
    reader.subscription.leave();
    told.tell(1);
    reader.drain();
    await new Promise((resolve) => setImmediate(resolve));
    expect([reader.heard, reader.ended, told.open]).toEqual([[], undefined, 0]);
  });

  test("that is given another source goes on after the last event that it was given", async () => {
    const [before, after] = [numbers("before"), numbers("after")];
    const reader = listen(createFanOut({ windowMs: 0 }), before.source, null);
    await until(() => before.open === 1);
    before.tell(1);
    await until(() => reader.heard.length === 1);
    after.tell(1, 2, 3);
    reader.subscription.retarget(after.source);
    await until(() => reader.heard.length === 3);
    expect([reader.heard, before.open, after.opened]).toEqual([[1, 2, 3], 0, ["1"]]);
  });

  test("that is ended while it waits is told why, once", async () => {
    const told = numbers();
    const reader = listen(createFanOut(), told.source, null);
    await until(() => told.open === 1);
    const [first, second] = [failure("FORBIDDEN"), failure("NOT_FOUND")];
    reader.subscription.fail(first);
    reader.subscription.fail(second);
    expect([reader.ended, told.open]).toEqual([{ error: first }, 0]);
  });
});
