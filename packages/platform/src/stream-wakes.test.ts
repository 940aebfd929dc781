import { aCaller } from "@sba/testkit/fixtures";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { usePubSub, type PubSub, type WakeListener } from "./pubsub.ts";
import { announceStreams, hearStream } from "./stream-wakes.ts";

/** Messages on their way between processes, each of which has a backend of its own; `deliver` brings them to all. */
function openWire() {
  const listeners: WakeListener[] = [];
  let onTheWay: string[] = [];
  const openProcess = (): PubSub => ({
    publish: (_topic, message) => onTheWay.push(message!),
    subscribe: (_topic, listener) => {
      listeners.push(listener);
      return Promise.resolve(() => Promise.resolve());
    },
    close: () => Promise.resolve(),
  });
  const deliver = (): void => {
    const messages = onTheWay;
    onTheWay = [];
    for (const message of messages) for (const listener of listeners) listener(message);
  };
  return { openProcess, deliver };
}

const caller = aCaller();
let wire: ReturnType<typeof openWire>;
beforeEach(() => {
  wire = openWire();
  usePubSub(wire.openProcess());
});
afterEach(() => {
  usePubSub(undefined);
});

test("a stream's news are heard in the process that has them before they are told, and not once more when they come back", async () => {
  const wake = vi.fn();
  await hearStream(caller, "run:1", wake);
  announceStreams(caller, ["run:1", "run:2"]);
  expect(wake).toHaveBeenCalledTimes(1);
  wire.deliver();
  expect(wake).toHaveBeenCalledTimes(1);
});

test("another process's are heard when they are told", async () => {
  const wake = vi.fn();
  await hearStream(caller, "run:1", wake);
  usePubSub(wire.openProcess());
  announceStreams(caller, ["run:1"]);
  expect(wake).not.toHaveBeenCalled();
  wire.deliver();
  expect(wake).toHaveBeenCalledTimes(1);
});

test("those of other streams, and of other tenants, are not heard", async () => {
  const wake = vi.fn();
  await hearStream(caller, "run:1", wake);
  announceStreams(caller, ["run:2"]);
  announceStreams(aCaller(), ["run:1"]);
  expect(wake).not.toHaveBeenCalled();
});

test("of more streams than go into one message, each is heard", async () => {
  const streams = Array.from({ length: 120 }, (_, index) => `run:${index}`);
  const wakes = streams.map(() => vi.fn());
  await Promise.all(streams.map((stream, index) => hearStream(caller, stream, wakes[index]!)));
  usePubSub(wire.openProcess());
  announceStreams(caller, streams);
  wire.deliver();
  for (const wake of wakes) expect(wake).toHaveBeenCalledTimes(1);
});
