import { recordAudit } from "@sba/platform/audit";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { encodeId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { NO_TENANT } from "../anonymous.ts";
import { errors } from "../errors.ts";
import { announceRevocation } from "../principal/revocation.ts";

/**
 * Origins (https://html.spec.whatwg.org/multipage/browsers.html#origin) whose pages may call for a tenant from a browser, beside
 * those of the platform's configuration. Gateways ask, and hear of a change as of a revocation.
 */

const MAX_ORIGINS = 50;
/** `https://`, a host name of 253 characters, a port. */
const MAX_ORIGIN_LENGTH = 267;
const HOST = /^(\[[\da-f:]+\]|[\w.-]+)$/;
/** What is not encrypted may only be on the developer's own machine. */
const LOCAL_HOST = /^(localhost|.+\.localhost|127\.0\.0\.1|\[::1\])$/;

/**
 * Sets the origins that the caller's tenant allows, and returns them without repeats. A repeat changes nothing.
 * @throws IDENTITY_ORIGIN_INVALID naming those that are none, IDENTITY_ORIGINS_TOO_MANY, IDENTITY_TENANT_NOT_FOUND
 */
export async function setAllowedOrigins(caller: Caller, origins: readonly string[]): Promise<readonly string[]> {
  const wanted = parseOrigins(origins);
  return withTenant(caller, async (tx) => {
    const [tenant] = await tx.sql<{ allowedOrigins: string[] }>`
      SELECT allowed_origins FROM identity.tenant WHERE tenant_id = ${caller.tenantId}::uuid FOR NO KEY UPDATE`;
    if (!tenant) throw errors.IDENTITY_TENANT_NOT_FOUND();
    const added = wanted.filter((origin) => !tenant.allowedOrigins.includes(origin));
    const removed = tenant.allowedOrigins.filter((origin) => !wanted.includes(origin));
    if (added.length + removed.length === 0) return wanted;
    await tx.sql`UPDATE identity.tenant SET allowed_origins = ${wanted} WHERE tenant_id = ${caller.tenantId}::uuid`;
    await countTenants(tx, added, removed);
    await recordAudit(tx, caller, {
      action: "identity.tenant.originsSet",
      target: encodeId("Tenant", caller.tenantId),
      details: { added, removed },
    });
    await announceRevocation(tx, caller, {});
    return wanted;
  });
}

/** In the order of the origins, so that tenants which change the same ones at once wait for each other, and not in a circle. */
async function countTenants(tx: Tx, added: readonly string[], removed: readonly string[]): Promise<void> {
  const changes = [...added.map(() => 1), ...removed.map(() => -1)];
  await tx.sql`
    INSERT INTO identity.known_origin AS known (origin, tenants)
    SELECT origin, greatest(change, 0) FROM unnest(${[...added, ...removed]}::text[], ${changes}::int[]) AS changed(origin, change) ORDER BY origin
    ON CONFLICT (origin) DO UPDATE SET tenants = known.tenants + CASE WHEN excluded.tenants = 1 THEN 1 ELSE -1 END`;
  await tx.sql`DELETE FROM identity.known_origin WHERE origin = ANY(${removed}::text[]) AND tenants = 0`;
}

/** Whether pages of this origin may call for the tenant; without one, whether for any: a browser asks before it says for whom. */
export async function isOriginAllowed(origin: string, scope: TenantScope | undefined): Promise<boolean> {
  if (!scope) return (await reader(NO_TENANT).knownOrigin.count({ where: { origin, tenants: { gt: 0 } } })) > 0;
  return (await reader(scope).tenant.count({ where: { ...scope, allowedOrigins: { has: origin } } })) > 0;
}

function parseOrigins(given: readonly string[]): readonly string[] {
  if (given.length > MAX_ORIGINS) throw errors.IDENTITY_ORIGINS_TOO_MANY({ details: { limit: MAX_ORIGINS } });
  const invalid = given.filter((origin) => !isOrigin(origin));
  if (invalid.length > 0) throw errors.IDENTITY_ORIGIN_INVALID({ details: { origins: invalid } });
  return [...new Set(given)].toSorted();
}

/** As a browser writes it: what it would write otherwise could never be met. */
function isOrigin(text: string): boolean {
  if (text.length > MAX_ORIGIN_LENGTH || !URL.canParse(text)) return false;
  const { origin, protocol, hostname } = new URL(text);
  return (
    origin === text &&
    HOST.test(hostname) &&
    (protocol === "https:" || (protocol === "http:" && LOCAL_HOST.test(hostname)))
  );
}
