import { eventually } from "@sba/testkit/eventually";
import { aCaller } from "@sba/testkit/fixtures";
import { startRedisServer, type RedisServer } from "@sba/testkit/redis-server";
import { useDatabase, type TestDatabase } from "@sba/testkit/services";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { withTenant } from "./db.ts";
import { appendEvents, defineEvent, type EventRecord } from "./events.ts";
import { streamEvents } from "./follow.ts";
import { newId } from "./ids.ts";
import { MAX_MESSAGE_BYTES, openPubSub, usePubSub, type PubSub } from "./pubsub.ts";

const database = useDatabase({ pubsub: false });
const counted = defineEvent({
  type: "test.heard",
  version: 1,
  description: "A number.",
  payload: z.object({ number: z.number() }),
});

interface Backend {
  readonly name: string;
  start(): Promise<void>;
  open(): Promise<PubSub>;
  /** Ends the connections of everyone; they may come back at once. */
  cut(): Promise<void>;
  /** Ends the connections of everyone and lets nobody in. */
  takeAway(): Promise<void>;
  bringBack(): Promise<void>;
  stop(): Promise<void>;
}

function postgresBackend(urlsOf: () => TestDatabase): Backend {
  const cut = async () => {
    await urlsOf().owner.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sba-pubsub'",
    );
  };
  const limit = async (connections: number) => {
    const { owner } = urlsOf();
    await owner.query(`ALTER DATABASE ${owner.database ?? ""} CONNECTION LIMIT ${connections}`);
  };
  return {
    name: "Postgres",
    start: () => Promise.resolve(),
    open: () => openPubSub({ databaseUrl: urlsOf().urls.app }),
    cut,
    takeAway: async () => {
      await limit(0);
      await cut();
    },
    bringBack: () => limit(-1),
    stop: () => Promise.resolve(),
  };
}

function redisBackend(): Backend {
  let server: RedisServer | undefined;
  const running = () => {
    if (!server) throw new Error("not started");
    return server;
  };
  return {
    name: "Redis",
    start: async () => {
      server = await startRedisServer();
    },
    open: () => openPubSub({ databaseUrl: database().urls.app, redisUrl: running().url }),
    cut: async () => {
      const client = new Redis(running().url);
      await client.call("CLIENT", "KILL", "TYPE", "pubsub");
      client.disconnect();
    },
    takeAway: () => running().kill(),
    bringBack: async () => {
      server = await startRedisServer({ port: running().port });
    },
    stop: async () => {
      await server?.stop();
    },
  };
}

/** A listener that remembers what it heard. */
function anEar() {
  const heard: (string | undefined)[] = [];
  return {
    heard,
    listener: (payload: string | undefined) => {
      heard.push(payload);
    },
  };
}

describe.each([postgresBackend(database), redisBackend()])("pub/sub on $name", (backend) => {
  const opened: PubSub[] = [];
  const open = async (): Promise<PubSub> => {
    const pubsub = await backend.open();
    opened.push(pubsub);
    return pubsub;
  };
  let here: PubSub;
  let there: PubSub;

  beforeAll(() => backend.start());
  afterAll(() => backend.stop());
  beforeEach(async () => {
    [here, there] = await Promise.all([open(), open()]);
  });
  afterEach(async () => {
    usePubSub(undefined);
    await Promise.all(opened.splice(0).map((pubsub) => pubsub.close()));
  });

  test("delivers to every listener of the topic in every process, and to no other topic", async () => {
    const [ears, other] = [[anEar(), anEar(), anEar()], anEar()];
    const subscribers = [here, here, there];
    await Promise.all(subscribers.map((pubsub, index) => pubsub.subscribe("a", ears[index]!.listener)));
    await here.subscribe("b", other.listener);
    there.publish("a", "one");
    there.publish("b");
    await eventually(() => ears.every(({ heard }) => heard.length === 1) && other.heard.length === 1);
    expect(ears.map(({ heard }) => heard)).toEqual([["one"], ["one"], ["one"]]);
    expect(other.heard).toEqual([undefined]);
  });

  test("goes on delivering when one of two leaves, and again when both left and one comes back", async () => {
    const [first, second, third] = [anEar(), anEar(), anEar()];
    const leaveFirst = await here.subscribe("a", first.listener);
    const leaveSecond = await here.subscribe("a", second.listener);
    await leaveFirst();
    await leaveFirst();
    there.publish("a", "one");
    await eventually(() => second.heard.length === 1);
    await leaveSecond();
    await here.subscribe("a", third.listener);
    there.publish("a", "two");
    await eventually(() => third.heard.includes("two"));
    expect([first.heard, second.heard]).toEqual([[], ["one"]]);
  });

  test("hears what is published once subscribe has resolved", async () => {
    for (let round = 0; round < 50; round++) {
      const ear = anEar();
      const leave = await here.subscribe("a", ear.listener);
      there.publish("a", String(round));
      await eventually(() => ear.heard.includes(String(round)));
      await leave();
    }
  });

  test("delivers a burst of different messages completely", async () => {
    const ear = anEar();
    await here.subscribe("a", ear.listener);
    const messages = Array.from({ length: 2_000 }, (_, index) => `${index}-${"x".repeat(50)}`);
    for (const message of messages) there.publish("a", message);
    await eventually(() => ear.heard.length === messages.length);
    expect(new Set(ear.heard)).toEqual(new Set(messages));
  });

  test("is not disturbed by a listener that throws", async () => {
    const ear = anEar();
    await here.subscribe("a", () => {
      throw new Error("broken listener");
    });
    await here.subscribe("a", ear.listener);
    there.publish("a", "one");
    await eventually(() => ear.heard.length === 1);
  });

  test("carries the largest message and refuses a larger one where it is published", async () => {
    const ear = anEar();
    await here.subscribe("a", ear.listener);
    const frame = JSON.stringify(["a", ""]).length;
    const largest = "x".repeat(MAX_MESSAGE_BYTES - frame);
    there.publish("a", largest);
    await eventually(() => ear.heard[0] === largest);
    expect(() => {
      there.publish("a", `${largest}x`);
    }).toThrow(RangeError);
    expect(() => {
      there.publish("a", "ä".repeat(MAX_MESSAGE_BYTES / 2));
    }).toThrow(RangeError);
  });

  test("tells every listener to look again when the connection was lost and is back", async () => {
    const ears = [anEar(), anEar()];
    await here.subscribe("a", ears[0]!.listener);
    await here.subscribe("b", ears[1]!.listener);
    await backend.cut();
    await eventually(() => ears.every(({ heard }) => heard.includes(undefined)));
    there.publish("b", "after");
    await eventually(() => ears[1]!.heard.includes("after"));
  });

  test("outlives a backend that is away for a while, and those who subscribed and left meanwhile", async () => {
    const [before, during, left] = [anEar(), anEar(), anEar()];
    await here.subscribe("a", before.listener);
    const leave = await here.subscribe("gone", left.listener);
    await backend.takeAway();
    try {
      await here.subscribe("a", during.listener);
      await leave();
      here.publish("a", "into the void");
    } finally {
      await backend.bringBack();
    }
    await eventually(() => before.heard.includes(undefined) && during.heard.includes(undefined));
    await eventually(() => {
      there.publish("a", "after");
      there.publish("gone", "after");
      return before.heard.includes("after") && during.heard.includes("after");
    });
    expect(left.heard).toEqual([]);
  });

  test("closes while the backend is away", async () => {
    await here.subscribe("a", anEar().listener);
    await backend.takeAway();
    try {
      await here.subscribe("new", anEar().listener);
      await Promise.all([here.close(), there.close()]);
    } finally {
      await backend.bringBack();
    }
    expect(() => {
      here.publish("a", "nobody hears it");
    }).not.toThrow();
  });

  describe("under streamEvents", () => {
    const append = async (caller: ReturnType<typeof aCaller>, stream: string, numbers: readonly number[]) => {
      for (const number of numbers)
        await withTenant(caller, (tx) => appendEvents(tx, caller, stream, [counted({ number })]));
    };
    const collect = async (
      events: AsyncIterable<EventRecord>,
      pause: () => Promise<unknown> = () => Promise.resolve(),
    ) => {
      const seqs: number[] = [];
      for await (const { seq } of events) {
        seqs.push(seq);
        await pause();
      }
      return seqs;
    };
    const upTo = (last: number) => ({
      after: 0,
      signal: AbortSignal.timeout(4_500),
      isLast: ({ seq }: EventRecord) => seq === last,
    });

    test("finds what was published before the first read", async () => {
      usePubSub(here);
      const caller = aCaller();
      const stream = `test:${newId()}`;
      const events = streamEvents(caller, stream, upTo(3));
      await append(caller, stream, [1, 2, 3]);
      expect(await collect(events)).toEqual([1, 2, 3]);
    });

    test("gives a slow reader everything once and in order", async () => {
      usePubSub(here);
      const caller = aCaller();
      const stream = `test:${newId()}`;
      const numbers = Array.from({ length: 60 }, (_, index) => index + 1);
      const slowly = async () => {
        await withTenant(caller, (tx) => tx.sql`SELECT pg_sleep(0.005)`);
      };
      const reading = collect(streamEvents(caller, stream, upTo(60)), slowly);
      await append(caller, stream, numbers);
      expect(await reading).toEqual(numbers);
    });

    test("loses nothing when the connection is cut while events come", async () => {
      usePubSub(here);
      const caller = aCaller();
      const stream = `test:${newId()}`;
      const reading = collect(streamEvents(caller, stream, upTo(40)));
      await append(
        caller,
        stream,
        Array.from({ length: 20 }, (_, index) => index),
      );
      await Promise.all([
        backend.cut(),
        append(
          caller,
          stream,
          Array.from({ length: 20 }, (_, index) => index),
        ),
      ]);
      expect(await reading).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    });
  });
});

test("says that the backend cannot be reached", async () => {
  const nowhere = { databaseUrl: "postgres://sba_app:x@127.0.0.1:1/none" };
  await expect(openPubSub(nowhere)).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  await expect(openPubSub({ ...nowhere, redisUrl: "redis://127.0.0.1:1" })).rejects.toMatchObject({
    kind: "unavailable",
  });
});
