import pg from "pg";

/** How often this process waited for Postgres: statements that are sent while others are under way share a trip. */
export interface RoundTrips<T> {
  readonly result: T;
  readonly roundTrips: number;
  readonly statements: number;
}

interface WireClient {
  readonly connection: { on(event: "readyForQuery", listener: () => void): void };
}

const unanswered = new WeakMap<object, number>();

/** Counts while `work` runs. Nothing else may use the database meanwhile. */
export async function countRoundTrips<T>(work: () => Promise<T>): Promise<RoundTrips<T>> {
  let [roundTrips, statements] = [0, 0];
  const prototype = pg.Client.prototype as { query: (...args: unknown[]) => unknown };
  const original = prototype.query;
  prototype.query = function query(this: WireClient, ...args: unknown[]) {
    const waiting = waitingOf(this);
    statements += countOf(args[0]);
    if (waiting === 0) roundTrips += 1;
    unanswered.set(this, waiting + 1);
    return original.apply(this, args);
  };
  try {
    return { result: await work(), roundTrips, statements };
  } finally {
    prototype.query = original;
  }
}

function countOf(query: unknown): number {
  return typeof query === "object" && query !== null && "texts" in query ? (query.texts as string[]).length : 1;
}

/** Every query ends with one ReadyForQuery, whether it is answered or refused. */
function waitingOf(client: WireClient): number {
  const known = unanswered.get(client);
  if (known !== undefined) return known;
  unanswered.set(client, 0);
  client.connection.on("readyForQuery", () => unanswered.set(client, Math.max(0, (unanswered.get(client) ?? 0) - 1)));
  return 0;
}
