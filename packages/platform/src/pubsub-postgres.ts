import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { z } from "zod";
import { platformErrors } from "./errors.ts";
import { logger } from "./log.ts";
import { encodeMessage, openListeners, type Listeners, type PubSub } from "./pubsub-contract.ts";

/**
 * Pub/sub on NOTIFY: one connection a process, one channel; topics travel in the payload, so that subscribing costs no
 * statement. What is published in one turn of the event loop, or while a NOTIFY is under way, goes out as one statement.
 */

const CHANNEL = "sba_wake";
const MAX_NOTIFY_BYTES = 7_999;
const QUERY_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;
const BACKOFF_MS = { first: 50, most: 2_000 };
/** Distinct messages kept while the connection is away; beyond it they are dropped, which readers' slow timers make good. */
const MAX_PENDING = 10_000;

const batchSchema = z.array(z.tuple([z.string()]).rest(z.string()));

/** @throws DATABASE_UNAVAILABLE when the first connection cannot be made; later ones are retried for ever. */
export async function openPostgresPubSub(databaseUrl: string): Promise<PubSub> {
  const listeners = openListeners();
  const closing = new AbortController();
  const pending = new Set<string>();
  let client: pg.Client | undefined;
  let flushing: Promise<void> | undefined;

  async function connect(): Promise<void> {
    const ended = Promise.withResolvers<void>();
    const next = await openListener(databaseUrl, listeners, ended.resolve);
    if (closing.signal.aborted) return next.end();
    client = next;
    void ended.promise.then(lost);
    schedule();
  }

  function lost(): void {
    client = undefined;
    if (!closing.signal.aborted) void reconnect();
  }

  async function reconnect(): Promise<void> {
    logger.warn("pub/sub connection lost");
    for (let attempt = 0; client === undefined; attempt++) {
      await pauseBefore(attempt, closing.signal);
      if (closing.signal.aborted) return;
      await connect().catch((error: unknown) => {
        logger.debug({ err: error, attempt }, "pub/sub cannot connect");
      });
    }
    logger.info("pub/sub connection restored");
    listeners.callAll();
  }

  function schedule(): void {
    if (flushing || pending.size === 0) return;
    flushing = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => flush(client, pending))
      .finally(() => {
        flushing = undefined;
        if (client) schedule();
      });
  }

  await connect();
  return {
    publish(topic, payload) {
      const message = encodeMessage(topic, payload);
      if (closing.signal.aborted || pending.size >= MAX_PENDING) return;
      pending.add(message);
      if (client) schedule();
    },
    subscribe: (topic, listener) => {
      const leave = listeners.add(topic, listener);
      return Promise.resolve(() => Promise.resolve(leave()));
    },
    async close() {
      while (client && flushing) await flushing;
      closing.abort();
      listeners.clear();
      await client?.end().catch(() => undefined);
    },
  };
}

async function pauseBefore(attempt: number, signal: AbortSignal): Promise<void> {
  const pauseMs = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** attempt);
  await delay(pauseMs, undefined, { signal }).catch(() => undefined);
}

/** Sends what is pending; without a connection it stays pending until there is one. */
async function flush(client: pg.Client | undefined, pending: Set<string>): Promise<void> {
  if (!client) return;
  const batches = packBatches(pending);
  pending.clear();
  await client
    .query("SELECT pg_notify($1, batch) FROM unnest($2::text[]) AS batch", [CHANNEL, batches])
    .catch((error: unknown) => {
      logger.debug({ err: error }, "wake-ups lost");
      // A statement that timed out leaves a connection of which nothing is known.
      void client.end().catch(() => undefined);
    });
}

/** A connection that listens; `onLost` is called once when it ends, for whatever reason. */
async function openListener(connectionString: string, listeners: Listeners, onLost: () => void): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: "sba-pubsub",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    // A NOTIFY takes a transaction id, and so a commit record; nobody needs to wait until that one is on disk.
    options: "-c synchronous_commit=off",
  });
  client.on("error", (error) => {
    logger.debug({ err: error }, "pub/sub connection failed");
  });
  client.on("end", onLost);
  client.on("notification", ({ payload }) => {
    deliver(listeners, payload);
  });
  try {
    await client.connect();
    await client.query(`LISTEN ${CHANNEL}`);
  } catch (error) {
    void client.end().catch(() => undefined);
    throw platformErrors.DATABASE_UNAVAILABLE({ cause: error });
  }
  return client;
}

function deliver(listeners: Listeners, payload: string | undefined): void {
  const batch = batchSchema.safeParse(parseJson(payload ?? ""));
  if (!batch.success) {
    logger.warn({ channel: CHANNEL }, "a notification is not one of ours");
    return;
  }
  for (const [topic, body] of batch.data) listeners.call(topic, body);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** JSON arrays of messages, each small enough for one NOTIFY. */
function packBatches(messages: Iterable<string>): string[] {
  const batches: string[] = [];
  let batch = "";
  for (const message of messages) {
    const joined = batch === "" ? message : `${batch},${message}`;
    if (Buffer.byteLength(joined) + 2 > MAX_NOTIFY_BYTES) {
      batches.push(`[${batch}]`);
      batch = message;
    } else {
      batch = joined;
    }
  }
  if (batch !== "") batches.push(`[${batch}]`);
  return batches;
}
