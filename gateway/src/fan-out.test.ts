import { OperationFailed } from "@sba/platform/execute";
import { GraphQLError, type ExecutionResult } from "graphql";
import { eventually } from "@sba/testkit/eventually";
import { describe, expect, test } from "vitest";
import { createFanOut, type StreamCursor, type StreamItem, type StreamSource } from "./fan-out.ts";
import { openQueue, type Queue } from "./queue.ts";

/** A source under the test's control: a journal of numbers, of which each upstream reads what comes after its cursor. */
function numbers(family = "numbers", resumable = true) {
  const journal: number[] = [];
  const upstreams = new Set<{ queue: Queue<StreamItem>; after: number }>();
  const opened: StreamCursor[] = [];
  const item = (number: number): StreamItem => ({
    result: { data: { number } },
    cursor: resumable ? String(number) : undefined,
  });
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
      for (const number of journal) if (resumable && number > upstream.after) upstream.queue.push(item(number));
      return upstream.queue;
    },
  };
  return {
    source,
    opened,
    get open() {
      return upstreams.size;
    },
    tell: (...told: number[]) => {
      journal.push(...told);
      for (const { queue } of upstreams) for (const number of told) queue.push(item(number));
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

const numberOf = ({ value }: IteratorResult<ExecutionResult, undefined>): unknown => value?.data?.["number"];
const failure = (code: string): OperationFailed =>
  new OperationFailed([new GraphQLError("lost", { extensions: { code } })]);

describe("identical subscriptions", () => {
  test("share one upstream, which ends with the last of them", async () => {
    const told = numbers();
    const fanOut = createFanOut();
    const subscribers = Array.from({ length: 100 }, () => fanOut.subscribe(told.source, null));
    const heard = Promise.all(subscribers.map(async (subscriber) => numberOf(await subscriber.next())));
    told.tell(1);
    expect(await heard).toEqual(Array.from({ length: 100 }, () => 1));
    expect([told.opened, fanOut.upstreams]).toEqual([[null], 1]);
    for (const subscriber of subscribers.slice(1)) await subscriber.return?.();
    expect(told.open).toBe(1);
    await subscribers[0]?.return?.();
    expect([told.open, fanOut.upstreams]).toEqual([0, 0]);
  });

  test("of different families do not", async () => {
    const [one, other] = [numbers("one"), numbers("other")];
    const fanOut = createFanOut();
    void fanOut.subscribe(one.source, null).next();
    void fanOut.subscribe(other.source, null).next();
    expect(fanOut.upstreams).toBe(2);
  });

  test("that begin a little later are given what was missed, from memory", async () => {
    const told = numbers();
    const fanOut = createFanOut();
    const first = fanOut.subscribe(told.source, null);
    told.tell(1, 2);
    await first.next();
    await first.next();
    const second = fanOut.subscribe(told.source, null);
    expect([numberOf(await second.next()), numberOf(await second.next())]).toEqual([1, 2]);
    expect(told.opened).toEqual([null]);
  });

  test("that come from different cursors are one upstream once they have come to the same event", async () => {
    const told = numbers();
    told.tell(1, 2, 3, 4);
    const fanOut = createFanOut();
    const [early, late] = [fanOut.subscribe(told.source, "1"), fanOut.subscribe(told.source, "3")];
    expect(numberOf(await late.next())).toBe(4);
    expect([numberOf(await early.next()), numberOf(await early.next()), numberOf(await early.next())]).toEqual([
      2, 3, 4,
    ]);
    expect(told.opened).toEqual(["3", "1"]);
    const both = Promise.all([early.next(), late.next()]);
    expect(told.open).toBe(1);
    told.tell(5);
    expect((await both).map(numberOf)).toEqual([5, 5]);
  });
});

describe("a subscriber that falls behind", () => {
  test("is given every event in order, from its cursor, and the others do not wait for it", async () => {
    const told = numbers();
    const fanOut = createFanOut({ maxQueued: 4, maxRemembered: 2 });
    const [slow, quick] = [fanOut.subscribe(told.source, null), fanOut.subscribe(told.source, null)];
    const first = [slow.next(), quick.next()];
    told.tell(1);
    await Promise.all(first);
    for (let number = 2; number <= 50; number++) {
      told.tell(number);
      expect(numberOf(await quick.next())).toBe(number);
    }
    const heard: unknown[] = [];
    while (heard.length < 49) heard.push(numberOf(await slow.next()));
    expect(heard).toEqual(Array.from({ length: 49 }, (_, index) => index + 2));
    expect(told.opened.length).toBeGreaterThan(1);
  });

  test("alone makes its source wait instead", async () => {
    const told = numbers();
    const fanOut = createFanOut({ maxQueued: 4 });
    const only = fanOut.subscribe(told.source, null);
    const first = only.next();
    told.tell(...Array.from({ length: 100 }, (_, index) => index + 1));
    await first;
    const heard: unknown[] = [];
    while (heard.length < 99) heard.push(numberOf(await only.next()));
    expect(heard.at(-1)).toBe(100);
    expect(told.opened).toEqual([null]);
  });

  test("ends with a typed error when its stream has no cursor", async () => {
    const told = numbers("live", false);
    const fanOut = createFanOut({ maxQueued: 2 });
    const [slow, quick] = [fanOut.subscribe(told.source, undefined), fanOut.subscribe(told.source, undefined)];
    const first = [slow.next(), quick.next()];
    await eventually(() => told.open > 0);
    told.tell(1);
    await Promise.all(first);
    for (const number of [2, 3, 4, 5]) {
      told.tell(number);
      await quick.next();
    }
    expect([numberOf(await slow.next()), numberOf(await slow.next())]).toEqual([2, 3]);
    await expect(slow.next()).rejects.toMatchObject({
      errors: [{ extensions: { code: "RATE_LIMITED", reason: "SUBSCRIPTION_TOO_SLOW" } }],
    });
    expect((await slow.next()).done).toBe(true);
  });
});

describe("an upstream", () => {
  test("that is lost is opened again after the last event", async () => {
    const told = numbers();
    const fanOut = createFanOut({ resumeDelaysMs: [1, 1] });
    const subscriber = fanOut.subscribe(told.source, null);
    const first = subscriber.next();
    told.tell(1);
    await first;
    const second = subscriber.next();
    told.lose(failure("UNAVAILABLE"));
    told.tell(2);
    expect(numberOf(await second)).toBe(2);
    expect(told.opened).toEqual([null, "1"]);
  });

  test("that stays lost ends its subscribers with its error", async () => {
    const told = numbers();
    const lost = failure("UNAVAILABLE");
    const source: StreamSource = { ...told.source, open: () => ({ next: () => Promise.reject(lost) }) };
    const fanOut = createFanOut({ resumeDelaysMs: [1, 1] });
    await expect(fanOut.subscribe(source, null).next()).rejects.toBe(lost);
    expect(fanOut.upstreams).toBe(0);
  });

  test("that fails for another reason is not tried again", async () => {
    const told = numbers();
    const subscriber = createFanOut({ resumeDelaysMs: [1] }).subscribe(told.source, null);
    const next = subscriber.next();
    await eventually(() => told.open > 0);
    told.lose(failure("NOT_FOUND"));
    await expect(next).rejects.toMatchObject({ errors: [{ extensions: { code: "NOT_FOUND" } }] });
    expect(told.opened).toEqual([null]);
  });

  test("that completes completes its subscribers, after what they have waiting", async () => {
    const told = numbers();
    const subscriber = createFanOut().subscribe(told.source, null);
    const first = subscriber.next();
    await eventually(() => told.open > 0);
    told.tell(1, 2);
    told.end();
    expect([numberOf(await first), numberOf(await subscriber.next()), (await subscriber.next()).done]).toEqual([
      1,
      2,
      true,
    ]);
  });
});

describe("a subscriber", () => {
  test("that leaves before its upstream is open leaves none behind", async () => {
    const told = numbers();
    const subscriber = createFanOut().subscribe(told.source, null);
    const next = subscriber.next();
    await subscriber.return?.();
    expect([(await next).done, told.opened]).toEqual([true, []]);
  });

  test("that is given another source goes on after the last event that it was given", async () => {
    const [before, after] = [numbers("before"), numbers("after")];
    before.tell(1, 2, 3);
    after.tell(1, 2, 3);
    const subscriber = createFanOut().subscribe(before.source, null);
    await subscriber.next();
    subscriber.retarget(after.source);
    expect(numberOf(await subscriber.next())).toBe(2);
    expect([before.open, after.opened]).toEqual([0, ["1"]]);
  });

  test("that is ended while it waits is told why, once", async () => {
    const told = numbers();
    const subscriber = createFanOut().subscribe(told.source, null);
    const next = subscriber.next();
    await eventually(() => told.open > 0);
    subscriber.fail(failure("FORBIDDEN"));
    await expect(next).rejects.toMatchObject({ errors: [{ extensions: { code: "FORBIDDEN" } }] });
    expect((await subscriber.next()).done).toBe(true);
    expect(told.open).toBe(0);
  });
});
