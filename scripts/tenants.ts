import { parseArgs } from "node:util";
import { resumeTenant, suspendTenant } from "@sba/identity/index";
import { findDatabase } from "@sba/launcher/running-database";
import type { Caller } from "@sba/platform/caller";
import { ConfigError, loadConfig } from "@sba/platform/config";
import { closeDatabase, connectDatabase, systemTx } from "@sba/platform/db";
import type { Suspension } from "@sba/platform/generated/prisma/client";
import { decodeId, encodeId, newId } from "@sba/platform/ids";
import { openPubSub, usePubSub } from "@sba/platform/pubsub";

/**
 * Suspended tenants, for who operates the platform (docs/adr/0017). What is suspended here only this command resumes.
 *
 *     npm run tenants                                       who is suspended, by whom and why
 *     npm run tenants -- --suspend ten_... --reason TEXT    stops everything in a tenant, within a second
 *     npm run tenants -- --resume ten_...                   lets it go on
 */

const MAX_REASON = 500;
/** Whoever runs this has the database: there is no principal of any tenant behind it. */
const OPERATOR_ID = "00000000-0000-0000-0000-000000000000";

interface Options {
  readonly suspend?: string | undefined;
  readonly resume?: string | undefined;
  readonly reason?: string | undefined;
}

async function list(): Promise<void> {
  const rows = await systemTx(
    "list suspended tenants",
    (tx) => tx.sql<Suspension>`SELECT * FROM platform.suspension ORDER BY suspended_at`,
  );
  if (rows.length === 0) console.log("No tenant is suspended.");
  for (const { tenantId, suspendedBy, suspendedAt, reason } of rows)
    console.log(`${encodeId("Tenant", tenantId)}  by ${suspendedBy} since ${suspendedAt.toISOString()}: ${reason}`);
}

function operatorIn(tenantId: string): Caller {
  return {
    tenantId,
    principalId: OPERATOR_ID,
    principalKind: "SERVICE_ACCOUNT",
    permissions: new Set(),
    requestId: newId(),
  };
}

async function run({ suspend, resume, reason }: Options): Promise<void> {
  if (suspend !== undefined) {
    if (reason === undefined || reason.length === 0 || reason.length > MAX_REASON)
      throw new ConfigError([`--reason: 1 to ${MAX_REASON} characters that the tenant will read`]);
    await suspendTenant(operatorIn(decodeId("Tenant", suspend)), { by: "PLATFORM", reason });
    console.log(`${suspend} is suspended.`);
  } else if (resume !== undefined) {
    await resumeTenant(operatorIn(decodeId("Tenant", resume)), { by: "PLATFORM" });
    console.log(`${resume} is not suspended by the platform.`);
  } else await list();
}

try {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { suspend: text, resume: text, reason: text } });
  const config = loadConfig();
  const urls = await findDatabase(config);
  connectDatabase({ ...urls, poolSize: 1 });
  const pubsub = await openPubSub({ databaseUrl: urls.app, redisUrl: config.REDIS_URL });
  usePubSub(pubsub);
  await run(values).finally(async () => {
    await pubsub.close();
    await closeDatabase();
  });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
