import { closeReaders } from "@sba/platform/reader";
import { withTenant, type DatabaseUrls } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { defineJob, enqueue, handle } from "@sba/platform/jobs";
import { startRelay } from "@sba/platform/outbox";
import { openQueue } from "@sba/platform/queue";
import { aCaller } from "@sba/testkit/fixtures";
import pg from "pg";
import { z } from "zod";

/** The least that the parts cost by themselves: the baselines of everything that is built on them. */
export interface BareWork {
  /** One row of a tenant's table, committed. */
  writeRow(): Promise<void>;
  /** One job, from before the transaction that asks for it until a worker of this process has it. */
  runJob(): Promise<void>;
  close(): Promise<void>;
}

const bareJob = defineJob("bench.bare", z.object({ id: z.uuid() }), { queue: "bench" });
const JOBS_AT_ONCE = 32;

/** Needs `connectDatabase` before. Makes a table of its own in the database, which is to be thrown away. */
export async function openBareWork(
  urls: DatabaseUrls & { readonly admin: string },
  redisUrl: string | undefined,
): Promise<BareWork> {
  await makeTable(urls.admin);
  const caller = aCaller();
  const queue = await openQueue({ systemUrl: urls.system, redisUrl });
  const relay = startRelay(queue);
  const received = new Map<string, () => void>();
  const handler = handle(bareJob, (_caller, { id }) => {
    received.get(id)?.();
    return Promise.resolve();
  });
  await queue.startWorkers([handler], { concurrency: JOBS_AT_ONCE });
  return {
    writeRow: async () => {
      await withTenant(
        caller,
        (tx) => tx.sql`INSERT INTO bench.bare (tenant_id, id) VALUES (${caller.tenantId}, ${newId()})`,
      );
    },
    runJob: async () => {
      const id = newId();
      const { promise, resolve } = Promise.withResolvers<void>();
      received.set(id, resolve);
      await withTenant(caller, (tx) => enqueue(tx, caller, bareJob, { id }));
      await promise;
      received.delete(id);
    },
    close: async () => {
      await relay.close();
      await queue.close();
      closeReaders();
    },
  };
}

/** A table of a tenant's rows, protected as every other. */
export async function makeTable(adminUrl: string): Promise<void> {
  const owner = new pg.Client({ connectionString: adminUrl });
  await owner.connect();
  try {
    await owner.query(`
      CREATE SCHEMA IF NOT EXISTS bench;
      CALL platform.protect_schema('bench');
      CREATE TABLE bench.bare (tenant_id uuid NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));
      CALL platform.protect_table('bench.bare')`);
  } finally {
    await owner.end();
  }
}
