import { Worker } from "node:worker_threads";
import { eventually } from "@sba/testkit/eventually";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { event, startApi, type Api } from "../testing.ts";
import type { Transport } from "../transport/transport.ts";
import { listen, openTestTab } from "./tab.testing.ts";

/** Tabs over a real BroadcastChannel and real Web Locks: those of Node are those of browsers. */

let api: Api;
let name: string;
const tabs: Transport[] = [];
beforeEach(async () => {
  api = await startApi();
  name = `sba:${crypto.randomUUID()}`;
});
afterEach(async () => {
  await Promise.all(tabs.splice(0).map((tab) => tab.close()));
  await api.close();
});

function openTab(options: Parameters<typeof openTestTab>[2] = {}): Transport {
  const tab = openTestTab(name, api.url, options);
  tabs.push(tab);
  return tab;
}

/** Streams 1, 2, 3... and each further event when the test says so. */
function script() {
  let last = 0;
  let ended = false;
  const streams = { open: 0 };
  const waiting = new Set<() => void>();
  const notify = (): void => {
    for (const look of [...waiting]) look();
  };
  // No generator: one that waits cannot be made to return, and nobody would see that it was asked to.
  const read = (after: unknown): AsyncIterableIterator<unknown> => {
    let seq = Number(typeof after === "string" ? after.slice(1) : 0);
    streams.open++;
    return {
      next: async () => {
        while (seq >= last && !ended) {
          const { promise, resolve } = Promise.withResolvers<void>();
          waiting.add(resolve);
          await promise;
          waiting.delete(resolve);
        }
        return seq >= last ? { done: true, value: undefined } : { done: false, value: event(++seq) };
      },
      return: () => {
        streams.open--;
        return Promise.resolve({ done: true, value: undefined });
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  };
  api.stream = ({ after }) => read(after) as AsyncGenerator<unknown>;
  return {
    streams,
    tell: (seq: number) => {
      last = seq;
      notify();
    },
    end: () => {
      ended = true;
      notify();
    },
  };
}

describe("tabs of one principal", () => {
  test("share one socket, each with every event of its own streams", async () => {
    const story = script();
    const listening = [openTab(), openTab(), openTab()].map((tab) => listen(tab));
    story.tell(2);
    await eventually(() => listening.every(({ seen }) => seen.length === 2));
    expect(api.sockets.size).toBe(1);
    story.tell(3);
    story.end();
    await Promise.all(listening.map(({ done }) => done));
    expect(listening.map(({ seen }) => seen)).toEqual([1, 2, 3].map(() => [1, 2, 3]));
  });

  test("go on after their cursors in another tab when the one that leads is closed", async () => {
    const story = script();
    const leader = openTab();
    const first = listen(leader);
    story.tell(1);
    await eventually(() => first.seen.length === 1);
    const others = [openTab(), openTab()].map((tab) => listen(tab));
    await eventually(() => others.every(({ seen }) => seen.length === 1));
    await leader.close();
    story.tell(3);
    story.end();
    await Promise.all(others.map(({ done }) => done));
    expect(others.map(({ seen }) => seen)).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    expect(api.sockets.size).toBe(1);
  });

  test("go on after their cursors when the process of the one that leads is killed", async () => {
    const story = script();
    const worker = new Worker(new URL("thread.testing.ts", import.meta.url), { workerData: { name, url: api.url } });
    await eventually(() => api.subscribed.length === 1);
    // A browser gives the lock of a tab that is gone to another. Node does not for a thread: it is found out by its silence.
    const other = listen(openTab({ askEveryMs: 50, answerWithinMs: 1_000 }));
    story.tell(2);
    await eventually(() => other.seen.length === 2);
    expect(api.sockets.size).toBe(1);
    await worker.terminate();
    story.tell(4);
    story.end();
    await other.done;
    expect(other.seen).toEqual([1, 2, 3, 4]);
  });

  test("take the lead from one that has it and answers nobody", async () => {
    const story = script();
    const held = navigator.locks.request(name, () => new Promise(() => undefined)).catch((error: unknown) => error);
    const tab = listen(openTab({ answerWithinMs: 20 }));
    story.tell(1);
    story.end();
    await tab.done;
    expect(tab.seen).toEqual([1]);
    expect(await held).toMatchObject({ name: "AbortError" });
  });

  test("leave nothing open for one that is gone or has stopped listening", async () => {
    const story = script();
    const own = listen(openTab());
    story.tell(1);
    await eventually(() => own.seen.length === 1);
    const leaving = new AbortController();
    const gone = openTab();
    const stopping = listen(openTab(), leaving.signal);
    const closing = listen(gone);
    await eventually(() => story.streams.open === 3);
    leaving.abort();
    await stopping.done;
    await eventually(() => story.streams.open === 2);
    await gone.close();
    await eventually(() => story.streams.open === 1);
    story.end();
    await own.done;
    await closing.done;
  });
});

test("a lone tab is its own leader", async () => {
  api.stream = async function* () {
    yield* [event(1), event(2)];
    await Promise.resolve();
  };
  const { seen, done } = listen(openTab());
  await done;
  expect(seen).toEqual([1, 2]);
});
