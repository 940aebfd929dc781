import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Caller } from "./caller.ts";
import { withTenant, type Tx } from "./db.ts";
import { appendEvents, defineEvent, readEvents, type EventRecord } from "./events.ts";
import { streamEvents, type StreamOptions } from "./follow.ts";
import { newId } from "./ids.ts";
import { pubsub, usePubSub } from "./pubsub.ts";
import { hearStream } from "./stream-wakes.ts";

const database = useDatabase({ poolSize: 8 });
const counted = defineEvent({
  type: "test.followed",
  version: 3,
  description: "A number.",
  payload: z.object({ number: z.number().int() }),
});

let caller: Caller;
let stream: string;
beforeEach(() => {
  caller = aCaller();
  stream = `test:${newId()}`;
});

const appendIn = (tx: Tx, ...numbers: number[]) =>
  appendEvents(
    tx,
    caller,
    stream,
    numbers.map((number) => counted({ number })),
  );
const append = (...numbers: number[]) => withTenant(caller, (tx) => appendIn(tx, ...numbers));
const readAll = () => readEvents(caller, stream, { after: 0, first: 1_000 });
const oneTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

const follow = (options: Partial<StreamOptions> = {}) =>
  streamEvents(caller, stream, { after: 0, signal: AbortSignal.timeout(4_500), ...options });
const collect = async (events: AsyncIterable<EventRecord>) => {
  const seqs: number[] = [];
  for await (const { seq } of events) seqs.push(seq);
  return seqs;
};
const endsAt = (last: number) => ({ isLast: ({ seq }: EventRecord) => seq === last });

test("gives what there is, then what comes, and ends with the last event", async () => {
  await append(1, 2);
  const reading = collect(follow(endsAt(5)));
  await append(3, 4);
  await append(5, 6);
  expect(await reading).toEqual(oneTo(5));
});

test("goes on where a cursor left off, across more than a page", async () => {
  await append(...oneTo(1_203));
  expect(await collect(follow({ ...endsAt(1_203), after: 2 }))).toEqual(oneTo(1_203).slice(2));
  expect(await collect(follow({ ...endsAt(1_203), after: 1_202 }))).toEqual([1_203]);
});

test("gives nothing out before it is said that there is something to follow", async () => {
  await append(1, 2);
  const said = Promise.withResolvers<boolean>();
  const events = follow({ ...endsAt(2), admits: () => said.promise });
  const first = events.next();
  // What it reads is there by then.
  for (let times = 0; times < 20; times++) await readAll();
  expect(await Promise.race([first, Promise.resolve("nothing yet")])).toBe("nothing yet");
  said.resolve(true);
  expect((await first).value?.seq).toBe(1);
  expect(await collect(events)).toEqual([2]);
});

test("gives nothing out at all when there is nothing to follow, or nobody can say", async () => {
  await append(1);
  expect(await collect(follow({ admits: () => Promise.resolve(false) }))).toEqual([]);
  const unsure = follow({ admits: () => Promise.reject(new Error("nobody knows")) });
  await expect(collect(unsure)).rejects.toThrow("nobody knows");
});

test("ends when its signal is aborted while it waits, and no longer listens", async () => {
  const stop = new AbortController();
  const events = follow({ signal: stop.signal });
  await append(1);
  await events.next();
  const waiting = events.next();
  stop.abort();
  expect(await waiting).toEqual({ done: true, value: undefined });
});

test("ends at once when its reader leaves while it waits", async () => {
  const events = follow({ signal: new AbortController().signal });
  await append(1);
  await events.next();
  const waiting = events.next();
  const left = Date.now();
  expect(await events.return()).toEqual({ done: true, value: undefined });
  expect(await waiting).toEqual({ done: true, value: undefined });
  expect(Date.now() - left).toBeLessThan(1_000);
});

test("reads nothing when its signal is aborted already", async () => {
  await append(1);
  expect(await collect(follow({ signal: AbortSignal.abort() }))).toEqual([]);
});

test("finds events although every wake-up is lost", async () => {
  const real = pubsub();
  const reading = collect(follow(endsAt(2)));
  // Another process that nobody hears.
  usePubSub({ ...real, publish: () => undefined });
  try {
    await append(1);
    await append(2);
  } finally {
    usePubSub(real);
  }
  expect(await reading).toEqual([1, 2]);
});

test("hears a wake-up that comes while it reads", async () => {
  const reading = collect(follow(endsAt(100)));
  for (const number of oneTo(100)) await append(number);
  expect(await reading).toEqual(oneTo(100));
});

test("reads only when there may be something new", async () => {
  const events = follow();
  await append(1);
  await events.next();
  const { statements } = await countStatements(async () => {
    const waiting = events.next();
    await database().owner.query("SELECT pg_sleep(0.3)");
    await append(2);
    await waiting;
  });
  await events.return();
  const reads = statements.filter((text) => text.includes("FROM platform.event"));
  // One that finds nothing, one for the wake-up of the first event that came while it was read, one for the second.
  expect(reads.length).toBeLessThanOrEqual(3);
});

test("gives another tenant nothing", async () => {
  await append(1);
  expect(await collect(streamEvents(aCaller(), stream, { after: 0, signal: AbortSignal.timeout(100) }))).toEqual([]);
});

test("serves many readers of one stream, each with everything", async () => {
  const readers = Array.from({ length: 30 }, () => collect(follow(endsAt(20))));
  for (const number of oneTo(20)) await append(number);
  for (const seqs of await Promise.all(readers)) expect(seqs).toEqual(oneTo(20));
});

describe("what this process has committed", () => {
  /** As another process would, which is heard as others are. */
  const appendElsewhere = async (...numbers: number[]): Promise<void> => {
    const here = pubsub();
    usePubSub({ ...here });
    try {
      await append(...numbers);
    } finally {
      usePubSub(here);
    }
  };
  /** Somebody of the tenant follows something here, so that its streams are heard of. */
  const listen = async (): Promise<void> => {
    const events = streamEvents(caller, `test:${newId()}`, { after: 0, signal: AbortSignal.timeout(4_500) });
    const first = events.next();
    await readAll();
    await events.return();
    await first;
  };
  const readsOf = (statements: readonly string[]): number =>
    statements.filter((text) => text.includes("FROM platform.event")).length;

  test("is given out as it is in the journal, and neither read nor asked for", async () => {
    await listen();
    await append(1, 2);
    await append(3);
    const events = follow({ ...endsAt(4), admits: () => Promise.reject(new Error("asked for")) });
    const { result, statements } = await countStatements(async () => {
      const given = [await events.next(), await events.next(), await events.next()];
      const next = events.next();
      await append(4);
      return [...given, await next].map(({ value }) => value);
    });
    expect(readsOf(statements)).toBe(0);
    expect(result).toEqual(await readAll());
  });

  test("is given out from where a cursor left off", async () => {
    await listen();
    await append(1, 2, 3);
    const { result, statements } = await countStatements(() => collect(follow({ ...endsAt(3), after: 1 })));
    expect(result).toEqual([2, 3]);
    expect(readsOf(statements)).toBe(0);
  });

  test("is each reader's own to change", async () => {
    await listen();
    await append(1);
    const [one, other] = [await follow().next(), await follow().next()];
    (one.value!.payload as { number: number }).number = 7;
    expect(other.value!.payload).toEqual({ number: 1 });
  });

  test("comes in one line with what others commit", async () => {
    await listen();
    const reading = collect(follow(endsAt(60)));
    for (const number of oneTo(20)) {
      await append(number);
      await appendElsewhere(number);
      await Promise.all([append(number), number % 5 === 0 ? listen() : undefined]);
    }
    expect(await reading).toEqual(oneTo(60));
  });

  test("is read, and asked for, by who opens the stream after others have appended to it", async () => {
    await listen();
    const reader = follow(endsAt(3));
    await append(1, 2);
    expect((await reader.next()).value).toMatchObject({ seq: 1 });
    const heard = Promise.withResolvers<void>();
    const leave = await hearStream(caller, stream, heard.resolve);
    await appendElsewhere(3);
    await heard.promise;
    leave();
    expect(await collect(reader)).toEqual([2, 3]);
    const late = follow({ admits: () => Promise.reject(new Error("asked for")) });
    await expect(late.next()).rejects.toThrow("asked for");
    await append(4);
    expect(await collect(follow(endsAt(4)))).toEqual([1, 2, 3, 4]);
  });

  test("is not given out when it was taken back", async () => {
    await listen();
    await withTenant(caller, async (tx) => {
      const part = tx.nested(async () => {
        await appendIn(tx, 1, 2);
        throw new Error("not after all");
      });
      await part.catch(() => undefined);
      await appendIn(tx, 3);
    });
    const first = await follow().next();
    expect(first.value).toMatchObject({ seq: 1, payload: { number: 3 } });
  });

  test("is not given out when the commit failed", async () => {
    await listen();
    await expect(
      withTenant(caller, async (tx) => {
        await appendIn(tx, 1);
        throw new Error("not after all");
      }),
    ).rejects.toThrow("not after all");
    await append(2);
    expect((await follow().next()).value).toMatchObject({ seq: 1, payload: { number: 2 } });
  });

  test("is read when messages of others may have been missed", async () => {
    const here = pubsub();
    const listeners: ((message: string | undefined) => void)[] = [];
    usePubSub({
      ...here,
      subscribe: (topic, listener) => {
        listeners.push(listener);
        return here.subscribe(topic, listener);
      },
    });
    try {
      await listen();
      await append(1);
      expect((await follow().next()).value).toMatchObject({ seq: 1 });
      for (const listener of listeners) listener(undefined);
      const { statements } = await countStatements(() => follow().next());
      expect(readsOf(statements)).toBe(1);
    } finally {
      usePubSub(here);
    }
  });

  test("is nothing to another tenant", async () => {
    await listen();
    await append(1);
    const theirs = streamEvents(aCaller(), stream, { after: 0, signal: AbortSignal.timeout(100) });
    expect(await collect(theirs)).toEqual([]);
  });
});
