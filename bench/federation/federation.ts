import { closing } from "../cleanup.ts";
import { withDatabase } from "../database.ts";
import { startChild, type Child } from "../durable/child.ts";
import { takeTurns, type Contender, type Outcome } from "../durable/turns.ts";
import { repeat, repeatFor } from "../load.ts";
import { atLeast, atMost, fact, median, ratioOf, showNumber, type Measurement } from "../measurement.ts";
import { openConnection, type Connection } from "./connection.ts";
import { ALONE, JOINED, type HalfName } from "./graph.ts";
import type { ServerOptions, Where } from "./server.ts";

/**
 * What our gateway costs beside what could stand in its place: one server that answers all itself, Apollo's gateway with the
 * fetcher that it brings, and no gateway at all. Every server is a process of its own; ours has enforcement, limits, rates, costs
 * and masking on, and is asked with a token. Joins go to subgraphs that are served as this project's are, whichever gateway asks,
 * and to bare Apollo Servers, with which two processors are full before our gateway is.
 */

/** Short ones: what the machine gives changes within seconds, and only neighbours are compared. */
const TURNS = { rounds: 10, roundMs: 350, concurrency: 16 };
/** Of everything that is compared: of two processes that run the same, one may take a third less, as its compiler was lucky. */
const COPIES = 3;
/** Before anything counts: until then it is the compiler that is measured (ours was at 0.51 ms a join in its first 12,000, 0.34 after them). */
const WARM_UP_REQUESTS = 20_000;
const CPU_TO_ONE_SERVER = 1.3;
const RATE_TO_APOLLO = 2.5;
const RATE_TO_SUBGRAPH = 0.6;

interface Server extends Where {
  readonly child: Child;
}
type Servers = readonly Server[];

export function benchFederation(): Promise<Measurement[]> {
  return withDatabase(undefined, async ({ urls: { app: databaseUrl } }) => [
    ...(await withServers({ kind: "both" }, (bare) =>
      withServers({ kind: "gateway in process", databaseUrl }, (gateways) => compareInProcess(bare, gateways)),
    )),
    ...(await withServer({ kind: "our library" }, (library) =>
      withServer({ kind: "our reviews" }, (reviews) => compareBeforeOurs({ library, reviews }, databaseUrl)),
    )),
    ...(await withServer({ kind: "library" }, (library) =>
      withServer({ kind: "reviews" }, (reviews) => compareBeforeApollo({ library, reviews }, databaseUrl)),
    )),
    ...(await withServers({ kind: "library" }, (libraries) => compareAlone(libraries, databaseUrl))),
  ]);
}

async function compareInProcess(bare: Servers, gateways: Servers): Promise<Measurement[]> {
  const { gateway, theirs } = await compare(gateways, bare, JOINED);
  const [own, their] = [cpusOf(gateway), cpusOf(theirs)];
  return [
    atMost(
      CPU_TO_ONE_SERVER,
      fact("a join in one process: CPU, of one Apollo Server's", ratioOf(own, their), "x", inMs(own, their)),
    ),
    fact("  requests a second", median(gateway.rates), "", rateTo(gateway, theirs, "one Apollo Server")),
  ];
}

type Halves = Readonly<Record<HalfName, Server>>;

async function compareBeforeOurs(halves: Halves, databaseUrl: string): Promise<Measurement[]> {
  return withGateways(halves, { databaseUrl }, async (gateways, apollo) =>
    lines("a join over HTTP", await compare(gateways, apollo, JOINED), "@apollo/gateway", RATE_TO_APOLLO),
  );
}

async function compareBeforeApollo(halves: Halves, databaseUrl: string): Promise<Measurement[]> {
  return withGateways(halves, { databaseUrl, areForeign: true }, async (gateways, apollo) =>
    lines("the same from Apollo Servers", await compare(gateways, apollo, JOINED), "@apollo/gateway"),
  );
}

/** Each gateway before a subgraph of its own, so that the compiler's luck with that is in both. */
async function compareAlone(libraries: Servers, databaseUrl: string): Promise<Measurement[]> {
  const before = (options: ServerOptions) =>
    libraries.map(({ url }) => ({ ...options, urls: { library: url, reviews: url } }));
  return [
    ...(await withEach(before({ kind: "gateway over HTTP", areForeign: true, databaseUrl }), async (gateways) =>
      lines(
        "an operation of one subgraph over HTTP",
        await compare(gateways, libraries, ALONE),
        "the subgraph itself",
        RATE_TO_SUBGRAPH,
      ),
    )),
    ...(await withEach(before({ kind: "proxy" }), async (proxies) =>
      lines("  a proxy that reads nothing", await compare(proxies, libraries, ALONE), "the subgraph itself"),
    )),
  ];
}

function withGateways<T>(
  { library, reviews }: Halves,
  options: Pick<ServerOptions, "databaseUrl" | "areForeign">,
  work: (ours: Servers, apollo: Servers) => Promise<T>,
): Promise<T> {
  const urls = { library: library.url, reviews: reviews.url };
  return withServers({ kind: "gateway over HTTP", urls, ...options }, (ours) =>
    withServers({ kind: "apollo gateway", urls, ...options }, (apollo) => work(ours, apollo)),
  );
}

type Operation = typeof JOINED | typeof ALONE;
/** Of every turn of every copy, those of the two sides in one order. */
type Spells = Pick<Outcome<void>, "rates" | "cpus">;
type Outcomes = Readonly<Record<"gateway" | "theirs", Spells>>;

async function compare(gateways: Servers, theirs: Servers, operation: Operation): Promise<Outcomes> {
  const contenders: Record<string, Contender<void>> = {};
  for (const [copy, gateway] of gateways.entries()) {
    contenders[`gateway ${copy}`] = await asking(gateway, operation);
    contenders[`theirs ${copy}`] = await asking(theirs[copy]!, operation);
  }
  const outcomes = await takeTurns(contenders, TURNS);
  const spellsOf = (side: keyof Outcomes): Spells => {
    const own = gateways.flatMap((_, copy) => outcomes[`${side} ${copy}`] ?? []);
    return { rates: own.flatMap(({ rates }) => rates), cpus: own.flatMap(({ cpus }) => cpus) };
  };
  return { gateway: spellsOf("gateway"), theirs: spellsOf("theirs") };
}

function lines(what: string, { gateway, theirs }: Outcomes, whose: string, target?: number): Measurement[] {
  const [own, their] = [cpusOf(gateway), cpusOf(theirs)];
  const rate = ratioOf(gateway.rates, theirs.rates);
  const compared = fact(`${what}: requests a second, of ${whose}`, rate, "x", rateTo(gateway, theirs, whose));
  return [
    target === undefined ? compared : atLeast(target, compared),
    fact("  CPU a request", ratioOf(own, their), "x", `${inMs(own, their)} of ${whose}`),
  ];
}

function rateTo({ rates }: Spells, theirs: Spells, whose: string): string {
  return `${showNumber(median(rates))} against ${showNumber(median(theirs.rates))} of ${whose}: ${showNumber(ratioOf(rates, theirs.rates))} x`;
}

function inMs(own: readonly number[], their: readonly number[]): string {
  return `${showNumber(median(own))} ms against ${showNumber(median(their))} ms`;
}

function cpusOf({ cpus }: Spells): readonly number[] {
  return cpus.map(({ server = 0 }) => server);
}

async function withServer<T>(options: ServerOptions, work: (server: Server) => Promise<T>): Promise<T> {
  const env = { NODE_ENV: "production", APOLLO_TELEMETRY_DISABLED: "true", BENCH_SERVER: JSON.stringify(options) };
  const child = await startChild("../federation/server.ts", { env });
  return closing(child.stop, async () => work({ ...(await child.ask<Where>("where")), child }));
}

function withServers<T>(options: ServerOptions, work: (servers: Servers) => Promise<T>): Promise<T> {
  return withEach(
    Array.from({ length: COPIES }, () => options),
    work,
  );
}

function withEach<T>([first, ...rest]: readonly ServerOptions[], work: (servers: Servers) => Promise<T>): Promise<T> {
  if (!first) return work([]);
  return withServer(first, (server) => withEach(rest, (others) => work([server, ...others])));
}

/** A client with a connection for each question that is under way. */
async function asking({ child, url, headers }: Server, operation: Operation): Promise<Contender<void>> {
  const free: Connection[] = [];
  const question = { url, headers, body: JSON.stringify(operation) };
  const ask = async (): Promise<void> => {
    const connection = free.pop() ?? (await openConnection(question));
    await connection.ask();
    free.push(connection);
  };
  // No connection waits for the next turn: its server would take it for idle.
  const closeAll = (): void => {
    for (const connection of free.splice(0)) connection.close();
  };
  await repeat(WARM_UP_REQUESTS, TURNS.concurrency, ask);
  closeAll();
  return {
    pids: () => ({ server: child.pid }),
    run: async (durationMs, concurrency) => {
      const spell = await repeatFor(durationMs, concurrency, ask);
      closeAll();
      return spell;
    },
  };
}
