import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { tell } from "@sba/gateway/world.testing";
import { newId } from "@sba/platform/ids";
import { closing } from "./cleanup.ts";
import { withDatabase } from "./database.ts";
import type { ClientsRequest, Received } from "./fan-out-clients.ts";
import type { ServerKind, ServerReady, ServerRequest, Usage } from "./fan-out-server.ts";
import { below, fact, percentile, ratioTo, type Measurement } from "./measurement.ts";

/**
 * What it costs to give one stream to many: our gateway, whose events are committed to the journal by this process, against
 * a plain `ws` server that sends the same bytes to every socket. Server, clients and this process are three; processor time is
 * the server's own.
 */

const SUBSCRIBERS = 1_000;
const MANY = 5_000;
const FEW = 100;
const ROUNDS = 2;
const SINGLE_EVENTS = 40;
const BURSTS = 2;
const BURST_EVENTS = 50;
const TEXT = "A slender wing at high speed carries its lift near the leading edge. ".repeat(2);
const QUERY = `subscription($id: ID!, $after: Cursor) { storyEvents(storyId: $id, after: $after) { __typename seq cursor ... on StoryTold { text } } }`;

export function benchFanOut(): Promise<Measurement[]> {
  return withDatabase(undefined, async ({ urls }) => {
    const [ours, plain] = [await compare(urls, SUBSCRIBERS), await measureSizes(urls)];
    return [...ours, ...plain];
  });
}

/** Ours and the plain one in turns, so that both have the same minutes. */
async function compare(urls: object, count: number): Promise<Measurement[]> {
  const [gateway, plain] = [await openSide("gateway", urls, count), await openSide("ws", urls, count)];
  return closing(
    async () => {
      await Promise.all([gateway.close(), plain.close()]);
    },
    async () => {
      const costs = { gateway: [] as Cost[], ws: [] as Cost[] };
      for (let round = 0; round <= ROUNDS; round++)
        for (const [name, side] of [
          ["gateway", gateway],
          ["ws", plain],
        ] as const) {
          const cost = await measure(side);
          // The first is for warming up.
          if (round > 0) costs[name].push(cost);
        }
      const [ours, theirs] = [least(costs.gateway), least(costs.ws)];
      const [delays, plainDelays] = [await measureDelays(gateway), await measureDelays(plain)];
      const [p95, plainP95] = [percentile(delays, 0.95), percentile(plainDelays, 0.95)];
      const storm = await measureStorm(gateway);
      return [
        ...lines(`an event to ${count} subscribers`, ours.single, theirs.single, 0.8),
        ...lines(`a burst of ${BURST_EVENTS}`, ours.burst, theirs.burst, 3),
        below(100, fact("delivery p95 at 50 events a second", p95, "ms", ratioTo(p95, plainP95, "plain ws"))),
        below(10_000, fact(`${count} subscribers cut at once, until all have caught up`, storm.ms, "ms")),
        below(1, fact("  of which missed or repeated an event", storm.broken, "")),
      ];
    },
  );
}

interface Cost {
  /** Microseconds of the server for one event to one subscriber. */
  readonly single: number;
  readonly burst: number;
}

/** Of what is the same each time, the least is the least disturbed. */
function least(costs: readonly Cost[]): Cost {
  return {
    single: Math.min(...costs.map(({ single }) => single)),
    burst: Math.min(...costs.map(({ burst }) => burst)),
  };
}

function lines(what: string, ours: number, theirs: number, target: number): Measurement[] {
  const ratio = theirs / ours;
  return [
    fact(`${what}: CPU a delivery`, ours, "us", ratioTo(ours, theirs, "plain ws")),
    {
      ...fact("  deliveries for a second of CPU, of plain ws", ratio, "x"),
      target: `> ${target}`,
      holds: ratio >= target,
    },
  ];
}

/** A server with subscribers. */
interface Side {
  readonly count: number;
  send(texts: readonly string[]): Promise<void>;
  /** Resolves when every subscriber has all that was sent. */
  arrived(): Promise<Received>;
  usage(): Promise<Usage>;
  storm(): Promise<Received>;
  close(): Promise<void>;
}

async function openSide(kind: ServerKind, urls: object, count: number): Promise<Side> {
  const server = start("fan-out-server.ts", [kind, JSON.stringify(urls)]);
  const { url, tenantId, token } = await server.first<ServerReady>();
  const clients = start("fan-out-clients.ts", []);
  await clients.first();
  const storyId = newId();
  const stream = token === undefined ? {} : { stream: { token, query: QUERY, variables: { id: storyId } } };
  await clients.ask({ ask: "open", url, count, ...stream } satisfies ClientsRequest);
  let sent = 0;
  return {
    count,
    send: async (texts) => {
      sent += texts.length;
      if (tenantId !== undefined) await tell({ tenantId }, storyId, texts);
      else server.tell({ ask: "broadcast", texts: texts.map(asNext) } satisfies ServerRequest);
    },
    arrived: () => clients.ask({ ask: "await", events: sent } satisfies ClientsRequest),
    usage: () => server.ask({ ask: "usage" } satisfies ServerRequest),
    storm: () => clients.ask({ ask: "storm" } satisfies ClientsRequest),
    close: async () => {
      await clients.stop();
      await server.stop();
    },
  };
}

/** As the gateway says it, to the byte but for the numbers. */
function asNext(text: string): string {
  const event = { __typename: "StoryTold", seq: 0, cursor: "c".repeat(60), text };
  return JSON.stringify({ id: newId(), type: "next", payload: { data: { storyEvents: event } } }).replace(
    '"seq":0',
    '"none":0',
  );
}

function event(): string {
  return `sent:${Date.now()} ${TEXT}`;
}

async function measure(side: Side): Promise<Cost> {
  const single = await costOf(side, SINGLE_EVENTS, async () => {
    for (let sent = 0; sent < SINGLE_EVENTS; sent++) {
      await side.send([event()]);
      await side.arrived();
    }
  });
  const burst = await costOf(side, BURSTS * BURST_EVENTS, async () => {
    for (let sent = 0; sent < BURSTS; sent++) {
      await side.send(Array.from({ length: BURST_EVENTS }, event));
      await side.arrived();
    }
  });
  return { single, burst };
}

async function costOf(side: Side, events: number, work: () => Promise<void>): Promise<number> {
  const before = await side.usage();
  await work();
  const after = await side.usage();
  return ((after.cpuMs - before.cpuMs) * 1000) / (events * side.count);
}

const PACE_MS = 20;
const PACED_EVENTS = 200;

async function measureDelays(side: Side): Promise<readonly number[]> {
  await side.arrived();
  for (let sent = 0; sent < PACED_EVENTS; sent++) {
    await side.send([event()]);
    await delay(PACE_MS);
  }
  return (await side.arrived()).delaysMs;
}

async function measureStorm(side: Side): Promise<{ readonly ms: number; readonly broken: number }> {
  await side.send([event()]);
  await side.arrived();
  const began = performance.now();
  const storm = side.storm();
  let over = false;
  void storm.then(() => {
    over = true;
  });
  // Events go on while everybody is away.
  while (!over) {
    await side.send([event()]);
    await delay(PACE_MS);
  }
  await storm;
  const { broken } = await side.arrived();
  return { ms: performance.now() - began, broken };
}

/** What one subscriber takes, and whether many cost each other anything. */
async function measureSizes(urls: object): Promise<Measurement[]> {
  const [few, many] = [await sizeOf("gateway", urls, FEW), await sizeOf("gateway", urls, MANY)];
  const [plainFew, plainMany] = [await sizeOf("ws", urls, FEW), await sizeOf("ws", urls, MANY)];
  const kib = (least: Size, most: Size): number => (most.rssBytes - least.rssBytes) / (MANY - FEW) / 1024;
  const flat = many.cost.burst / few.cost.burst;
  return [
    {
      ...fact(
        "memory a subscriber",
        kib(few, many),
        "KiB",
        ratioTo(kib(few, many), kib(plainFew, plainMany), "plain ws"),
      ),
      target: "<= 25",
      holds: kib(few, many) <= 25,
    },
    {
      ...fact(
        `CPU a delivery to ${MANY}, of that to ${FEW}`,
        flat,
        "x",
        `plain ws ${(plainMany.cost.burst / plainFew.cost.burst).toFixed(2)}`,
      ),
      target: "<= 1.2",
      holds: flat <= 1.2,
    },
  ];
}

interface Size {
  readonly rssBytes: number;
  readonly cost: Cost;
}

async function sizeOf(kind: ServerKind, urls: object, count: number): Promise<Size> {
  const side = await openSide(kind, urls, count);
  return closing(
    () => side.close(),
    async () => {
      await side.send([event()]);
      await side.arrived();
      await side.usage();
      const { rssBytes } = await side.usage();
      return { rssBytes, cost: least([await measure(side), await measure(side)]) };
    },
  );
}

interface Child {
  first<T>(): Promise<T>;
  tell(message: object): void;
  ask<T>(message: object): Promise<T>;
  stop(): Promise<void>;
}

function start(file: string, args: readonly string[]): Child {
  const child: ChildProcess = fork(join(import.meta.dirname, file), [...args], { execArgv: ["--expose-gc"] });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`${file} ended with ${String(code)}`);
  });
  ended.catch(() => undefined);
  const first = async <T>(): Promise<T> => {
    const [message] = (await Promise.race([once(child, "message"), ended])) as [T];
    return message;
  };
  return {
    first,
    tell: (message) => {
      child.send(message);
    },
    ask: (message) => {
      const answered = first<never>();
      child.send(message);
      return answered;
    },
    stop: async () => {
      if (child.exitCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}
