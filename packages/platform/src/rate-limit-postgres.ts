import pg from "pg";
import { logger } from "./log.ts";
import type { RateLimitStore } from "./rate-limit-store.ts";

/**
 * Limits in Postgres, for installations without Redis: one upsert a booking in an unlogged table, which waits for no disk and
 * which a crash may empty. By the database's clock.
 */

const BOOK = `
WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint AS now)
INSERT INTO platform.rate_limit AS r (key, arrival_us, granted)
SELECT $1, now + least($3::bigint, $4::bigint) * $2::bigint, least($3::bigint, $4::bigint) FROM clock
ON CONFLICT (key) DO UPDATE SET
  granted = greatest(0, least($4::bigint, ($3::bigint * $2::bigint - greatest(r.arrival_us - (SELECT now FROM clock), 0)) / $2::bigint)),
  arrival_us = greatest(r.arrival_us, (SELECT now FROM clock))
    + $2::bigint * greatest(0, least($4::bigint, ($3::bigint * $2::bigint - greatest(r.arrival_us - (SELECT now FROM clock), 0)) / $2::bigint))
RETURNING granted, arrival_us - (SELECT now FROM clock) AS ahead_us`;
const FORGET = `DELETE FROM platform.rate_limit WHERE arrival_us < (extract(epoch FROM clock_timestamp()) * 1e6)::bigint - 60000000`;
const FORGET_EVERY_MS = 60_000;
const CONNECTIONS = 2;
const CONNECT_TIMEOUT_MS = 1_000;
const PATIENCE_MS = 1_000;
/** After it nobody waits any more, and the connection may be used again. */
const QUERY_TIMEOUT_MS = 5_000;

/** @param databaseUrl of the application role */
export function openPostgresRateLimits(databaseUrl: string): RateLimitStore {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: CONNECTIONS,
    application_name: "sba-rate-limits",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  });
  pool.on("error", (error) => {
    logger.debug({ err: error }, "database connection of the rate limits failed");
  });
  const timer = setInterval(() => {
    pool.query(FORGET).catch((error: unknown) => {
      logger.debug({ err: error }, "rate limits of the past could not be forgotten");
    });
  }, FORGET_EVERY_MS);
  timer.unref();
  return {
    patienceMs: PATIENCE_MS,
    book: async ({ key, intervalUs, burst, wanted }) => {
      const { rows } = await pool.query<{ granted: string; ahead_us: string }>({
        name: "rate-limit.book",
        text: BOOK,
        values: [key, intervalUs, burst, wanted],
      });
      return { granted: Number(rows[0]?.granted), aheadUs: Number(rows[0]?.ahead_us) };
    },
    close: async () => {
      clearInterval(timer);
      await pool.end();
    },
  };
}
