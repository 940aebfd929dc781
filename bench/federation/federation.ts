import { closing } from "../cleanup.ts";
import { withDatabase } from "../database.ts";
import { startChild, type Child } from "../durable/child.ts";
import { takeTurns, type Contender, type Outcome } from "../durable/turns.ts";
import { repeat, repeatFor } from "../load.ts";
import { atLeast, atMost, fact, ratioOf, showNumber, type Measurement } from "../measurement.ts";
import { openConnection, type Connection } from "./connection.ts";
import { ALONE, JOINED, type HalfName } from "./graph.ts";
import type { ServerOptions, Where } from "./server.ts";

/**
 * What our gateway costs beside what could stand in its place: one server that answers all itself, Apollo's gateway with the
 * fetcher that it brings, and no gateway at all. Every server is a process of its own; ours has enforcement, limits, rates, costs
 * and masking on, and is asked with a token. Joins go to subgraphs that are served as this project's are, whichever gateway asks,
 * and to bare Apollo Servers, with which two processors are full before our gateway is.
 */

const TURNS = { rounds: 7, roundMs: 1_500, concurrency: 16 };
/** Before anything counts: until then it is the compiler that is measured (ours was at 0.51 ms a join in its first 12,000, 0.34 after them). */
const WARM_UP_REQUESTS = 20_000;
const CPU_TO_ONE_SERVER = 1.3;
const RATE_TO_APOLLO = 2.5;
const RATE_TO_SUBGRAPH = 0.6;

interface Server extends Where {
  readonly child: Child;
}

export function benchFederation(): Promise<Measurement[]> {
  return withDatabase(undefined, async ({ urls: { app: databaseUrl } }) => [
    ...(await withServer({ kind: "both" }, (bare) =>
      withServer({ kind: "gateway in process", databaseUrl }, (gateway) => compareInProcess(bare, gateway)),
    )),
    ...(await withServer({ kind: "our library" }, (library) =>
      withServer({ kind: "our reviews" }, (reviews) => compareBeforeOurs({ library, reviews }, databaseUrl)),
    )),
    ...(await withServer({ kind: "library" }, (library) =>
      withServer({ kind: "reviews" }, (reviews) => compareBeforeApollo({ library, reviews }, databaseUrl)),
    )),
  ]);
}

async function compareInProcess(bare: Server, ours: Server): Promise<Measurement[]> {
  const { gateway, theirs } = await compare(ours, bare, JOINED);
  const [own, their] = [cpuOf(gateway), cpuOf(theirs)];
  return [
    atMost(
      CPU_TO_ONE_SERVER,
      fact("a join in one process: CPU, of one Apollo Server's", own / their, "x", inMs(own, their)),
    ),
    fact("  requests a second", gateway.rate, "", rateTo(gateway, theirs, "one Apollo Server")),
  ];
}

type Halves = Readonly<Record<HalfName, Server>>;

async function compareBeforeOurs(halves: Halves, databaseUrl: string): Promise<Measurement[]> {
  return withGateways(halves, { databaseUrl }, async (gateway, apollo) =>
    lines("a join over HTTP", await compare(gateway, apollo, JOINED), "@apollo/gateway", RATE_TO_APOLLO),
  );
}

async function compareBeforeApollo(halves: Halves, databaseUrl: string): Promise<Measurement[]> {
  return withGateways(halves, { databaseUrl, areForeign: true }, async (gateway, apollo) => [
    ...lines("the same from Apollo Servers", await compare(gateway, apollo, JOINED), "@apollo/gateway"),
    ...lines(
      "an operation of one subgraph over HTTP",
      await compare(gateway, halves.library, ALONE),
      "the subgraph itself",
      RATE_TO_SUBGRAPH,
    ),
  ]);
}

function withGateways<T>(
  { library, reviews }: Halves,
  options: Pick<ServerOptions, "databaseUrl" | "areForeign">,
  work: (ours: Server, apollo: Server) => Promise<T>,
): Promise<T> {
  const urls = { library: library.url, reviews: reviews.url };
  return withServer({ kind: "gateway over HTTP", urls, ...options }, (ours) =>
    withServer({ kind: "apollo gateway", urls, ...options }, (apollo) => work(ours, apollo)),
  );
}

type Asking = Contender<void>;
type Outcomes = Readonly<Record<"gateway" | "theirs", Outcome<void>>>;

async function compare(gateway: Server, theirs: Server, operation: typeof JOINED | typeof ALONE): Promise<Outcomes> {
  return takeTurns({ gateway: await asking(gateway, operation), theirs: await asking(theirs, operation) }, TURNS);
}

function lines(what: string, { gateway, theirs }: Outcomes, whose: string, target?: number): Measurement[] {
  const [own, their] = [cpuOf(gateway), cpuOf(theirs)];
  const rate = ratioOf(gateway.rates, theirs.rates);
  const compared = fact(`${what}: requests a second, of ${whose}`, rate, "x", rateTo(gateway, theirs, whose));
  return [
    target === undefined ? compared : atLeast(target, compared),
    fact("  CPU a request", own, "ms", `${showNumber(own / their)} x ${whose} (${showNumber(their)})`),
  ];
}

function rateTo({ rate, rates }: Outcome<void>, theirs: Outcome<void>, whose: string): string {
  return `${showNumber(rate)} against ${showNumber(theirs.rate)} of ${whose}: ${showNumber(ratioOf(rates, theirs.rates))} x`;
}

function inMs(own: number, their: number): string {
  return `${showNumber(own)} ms against ${showNumber(their)} ms`;
}

function cpuOf({ cpu }: Outcome<void>): number {
  return cpu["server"] ?? 0;
}

async function withServer<T>(options: ServerOptions, work: (server: Server) => Promise<T>): Promise<T> {
  const env = { NODE_ENV: "production", APOLLO_TELEMETRY_DISABLED: "true", BENCH_SERVER: JSON.stringify(options) };
  const child = await startChild("../federation/server.ts", { env });
  return closing(child.stop, async () => work({ ...(await child.ask<Where>("where")), child }));
}

/** A client with a connection for each question that is under way. */
async function asking({ child, url, headers }: Server, operation: typeof JOINED | typeof ALONE): Promise<Asking> {
  const free: Connection[] = [];
  const question = { url, headers, body: JSON.stringify(operation) };
  const ask = async (): Promise<void> => {
    const connection = free.pop() ?? (await openConnection(question));
    await connection.ask();
    free.push(connection);
  };
  await repeat(WARM_UP_REQUESTS, TURNS.concurrency, ask);
  return {
    pids: () => ({ server: child.pid }),
    run: async (durationMs, concurrency) => {
      const spell = await repeatFor(durationMs, concurrency, ask);
      for (const connection of free.splice(0)) connection.close();
      return spell;
    },
  };
}
