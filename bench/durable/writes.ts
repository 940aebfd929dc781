import { newId } from "@sba/platform/ids";
import { withTenantOnce } from "@sba/platform/db";
import pg from "pg";
import { makeTable } from "../bare.ts";
import { closing } from "../cleanup.ts";
import { withDatabase, type OpenDatabase } from "../database.ts";
import { repeatFor } from "../load.ts";
import { atLeast, fact, ratioOf, showNumber, type Measurement } from "../measurement.ts";
import { CONCURRENCIES, inWords, type Concurrency, type DurableOptions } from "./options.ts";
import { takeTurns, type Contender } from "./turns.ts";

/** What it costs that a row belongs to a tenant: one row committed through the platform's door, and the same without. */

const ISOLATED_TO_BARE = 0.7;
const CONNECTIONS = 16;

export function benchWrites(options: DurableOptions): Promise<Measurement[]> {
  return withDatabase(undefined, async (database) => {
    await makeTable(database.urls.admin);
    const pool = new pg.Pool({ connectionString: database.urls.admin, max: CONNECTIONS });
    return closing(
      () => pool.end(),
      async () => {
        await pool.query("CREATE TABLE bench.unprotected (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id))");
        const measurements: Measurement[] = [];
        for (const concurrency of CONCURRENCIES)
          measurements.push(...(await measureAt(database, pool, { ...options, concurrency })));
        return measurements;
      },
    );
  });
}

async function measureAt(
  { caller }: OpenDatabase,
  pool: pg.Pool,
  options: DurableOptions & { readonly concurrency: Concurrency },
): Promise<Measurement[]> {
  const { tenantId } = caller;
  // The least that a commit of a row is: one statement that commits itself, prepared.
  const bare = { name: "bare", text: "INSERT INTO bench.unprotected (tenant_id, id) VALUES ($1, $2)" };
  // What the platform's door sends, by a client that does not know it.
  const inTransaction = async (): Promise<void> => {
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      await client.query({ ...bare, values: [tenantId, newId()] });
      await client.query("COMMIT");
    } finally {
      client.release();
    }
  };
  const outcomes = await takeTurns(
    {
      isolated: repeating(() =>
        withTenantOnce(caller, (tx) => tx.sql`INSERT INTO bench.bare (tenant_id, id) VALUES (${tenantId}, ${newId()})`),
      ),
      bare: repeating(() => pool.query({ ...bare, values: [tenantId, newId()] })),
      inTransaction: repeating(inTransaction),
    },
    options,
  );
  const at = inWords(options.concurrency);
  const ratio = ratioOf(outcomes.isolated.rates, outcomes.bare.rates);
  return [
    fact(`tenant-isolated writes of one row, ${at}`, outcomes.isolated.rate, "writes/s"),
    atLeast(
      ISOLATED_TO_BARE,
      fact(`  to the same without isolation, ${at}`, ratio, "x", `${showNumber(outcomes.bare.rate)} a second`),
    ),
    fact(
      `  to the same in BEGIN and COMMIT, three round trips, ${at}`,
      ratioOf(outcomes.isolated.rates, outcomes.inTransaction.rates),
      "x",
      `${showNumber(outcomes.inTransaction.rate)} a second`,
    ),
  ];
}

function repeating(work: () => Promise<unknown>): Contender<unknown> {
  return { run: (durationMs, concurrency) => repeatFor(durationMs, concurrency, work) };
}
