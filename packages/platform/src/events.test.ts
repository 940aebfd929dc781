import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Caller } from "./caller.ts";
import { withTenant } from "./db.ts";
import {
  appendEvents,
  appendToStreams,
  decodeCursor,
  defineEvent,
  encodeCursor,
  eventAnnounced,
  lastSeq,
  readEvents,
} from "./events.ts";
import { newId } from "./ids.ts";

const database = useDatabase({ poolSize: 8 });
const counted = defineEvent({
  type: "test.counted",
  version: 3,
  description: "A number.",
  payload: z.object({ number: z.number().int() }),
});
const shouted = defineEvent({
  type: "test.shouted",
  version: 1,
  description: "Loud.",
  payload: z.object({ word: z.string() }),
  announced: true,
});

let caller: Caller;
let stream: string;
beforeEach(() => {
  caller = aCaller();
  stream = `test:${newId()}`;
});

const append = (...numbers: number[]) =>
  withTenant(caller, (tx) =>
    appendEvents(
      tx,
      caller,
      stream,
      numbers.map((number) => counted({ number })),
    ),
  );
const readAll = (of = stream) => readEvents(caller, of, { after: 0, first: 1_000 });
const oneTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

describe("appendEvents", () => {
  test("numbers events from 1 without gaps and keeps what they were", async () => {
    expect(await append(10, 20)).toBe(2);
    expect(await append(30)).toBe(3);
    const events = await readAll();
    expect(events.map(({ seq, payload }) => [seq, payload])).toEqual([
      [1, { number: 10 }],
      [2, { number: 20 }],
      [3, { number: 30 }],
    ]);
    expect(events[0]).toMatchObject({
      stream,
      tenantId: caller.tenantId,
      type: "test.counted",
      version: 3,
      traceId: null,
    });
    expect(events[0]!.at).toBeInstanceOf(Date);
  });

  test("gives concurrent writers of one stream one line of numbers, each writer's own in its order", async () => {
    const writers = Array.from({ length: 40 }, (_, writer) => append(writer * 10, writer * 10 + 1, writer * 10 + 2));
    await Promise.all(writers);
    const events = await readAll();
    expect(events.map(({ seq }) => seq)).toEqual(oneTo(120));
    const numbers = events.map(({ payload }) => (payload as { number: number }).number);
    for (let first = 0; first < numbers.length; first += 3)
      expect(numbers.slice(first, first + 3)).toEqual([numbers[first], numbers[first]! + 1, numbers[first]! + 2]);
  });

  test("leaves no hole where a transaction was rolled back", async () => {
    await append(1);
    await expect(
      withTenant(caller, async (tx) => {
        await appendEvents(tx, caller, stream, [counted({ number: 99 }), counted({ number: 98 })]);
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    await append(2);
    expect((await readAll()).map(({ seq, payload }) => [seq, payload])).toEqual([
      [1, { number: 1 }],
      [2, { number: 2 }],
    ]);
  });

  test("shows a reader no later number before an earlier one, however transactions end", async () => {
    let highest = 0;
    const writing = Promise.all(oneTo(60).map((number) => append(number)));
    let done = false;
    void writing.then(() => {
      done = true;
    });
    while (!done) {
      const seqs = (await readAll()).map(({ seq }) => seq);
      expect(seqs).toEqual(oneTo(seqs.length));
      expect(seqs.length).toBeGreaterThanOrEqual(highest);
      highest = seqs.length;
    }
  });

  test("refuses a payload that is not what the event declares, and writes nothing", async () => {
    await expect(append(1, 0.5)).rejects.toThrow();
    expect(await readAll()).toEqual([]);
  });

  test("asks for the reactions to an announced event in the same transaction", async () => {
    await withTenant(caller, (tx) =>
      appendEvents(tx, caller, stream, [counted({ number: 1 }), shouted({ word: "hey" })]),
    );
    const { rows } = await database().owner.query<{ envelope: { payload: unknown } }>(
      "SELECT envelope FROM platform.outbox WHERE tenant_id = $1 AND name = $2",
      [caller.tenantId, eventAnnounced.name],
    );
    expect(rows.map(({ envelope }) => envelope.payload)).toEqual([{ stream, seq: 2, type: "test.shouted" }]);
  });

  test("refuses to append to another tenant's stream", async () => {
    await append(1);
    const other = aCaller();
    await expect(
      withTenant(other, (tx) => appendEvents(tx, other, stream, [counted({ number: 2 })])),
    ).rejects.toThrow();
    expect((await readAll()).map(({ seq }) => seq)).toEqual([1]);
    expect(await readEvents(other, stream, { after: 0, first: 10 })).toEqual([]);
  });
});

describe("appendToStreams", () => {
  test("appends to many streams at once, each in the order given", async () => {
    const [a, b] = [`a:${newId()}`, `b:${newId()}`];
    const entry = (of: string, number: number) => ({ stream: of, event: counted({ number }) });
    const write = (...entries: ReturnType<typeof entry>[]) =>
      withTenant(caller, (tx) => appendToStreams(tx, caller, entries));
    await write(entry(b, 1), entry(a, 2), entry(b, 3));
    const ends = await write(entry(a, 4), entry(b, 5));
    expect(new Map(ends.map(({ id, lastSeq: seq }) => [id, seq]))).toEqual(
      new Map([
        [a, 2],
        [b, 3],
      ]),
    );
    const numbers = async (of: string) =>
      (await readAll(of)).map(({ seq, payload }) => [seq, (payload as { number: number }).number]);
    expect([await numbers(a), await numbers(b)]).toEqual([
      [
        [1, 2],
        [2, 4],
      ],
      [
        [1, 1],
        [2, 3],
        [3, 5],
      ],
    ]);
  });

  test("does not deadlock when many writers name the same streams in different orders", async () => {
    const streams = Array.from({ length: 6 }, () => `s:${newId()}`);
    await Promise.all(
      oneTo(60).map((round) =>
        withTenant(caller, (tx) => {
          const order = round % 2 === 0 ? streams : streams.toReversed();
          return appendToStreams(
            tx,
            caller,
            order.map((of) => ({ stream: of, event: counted({ number: round }) })),
          );
        }),
      ),
    );
    for (const of of streams) expect(await withTenant(caller, (tx) => lastSeq(tx, of))).toBe(60);
  });
});

describe("cursors", () => {
  test("are a position in one stream", () => {
    expect(decodeCursor(stream, encodeCursor(stream, 42))).toBe(42);
    expect(decodeCursor(stream, null)).toBe(0);
  });

  test.each([
    ["of another stream", encodeCursor("run:other", 1)],
    ["that is not base64", "%%%"],
    ["with a negative position", Buffer.from("run:1:-1").toString("base64url")],
    ["with a fraction", Buffer.from("run:1:1.5").toString("base64url")],
    ["without a position", Buffer.from("run:1:").toString("base64url")],
    ["in another notation", Buffer.from("run:1:0x10").toString("base64url")],
    ["beyond any position", encodeCursor("run:1", 2 ** 40)],
  ])("are refused when %s", (_what, cursor) => {
    expect(() => decodeCursor("run:1", cursor)).toThrow(expect.objectContaining({ code: "CURSOR_INVALID" }));
  });
});

test("an event type cannot be defined twice", () => {
  expect(() => defineEvent({ type: "test.counted", version: 1, description: "Again.", payload: z.object({}) })).toThrow(
    "twice",
  );
});
