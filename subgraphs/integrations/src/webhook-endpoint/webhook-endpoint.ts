import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { isUniqueViolation, withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import { allowedUrl } from "@sba/platform/egress";
import type { WebhookEndpoint as WebhookEndpointRow } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { open, seal } from "@sba/platform/secrets";
import { errors } from "../errors.ts";
import { isSecret, makeSecret } from "./signature.ts";

/** Where a tenant lets its runs send data to. */

/** An endpoint without its secret. */
export type WebhookEndpoint = Omit<WebhookEndpointRow, "sealedSecret">;

export interface CreateWebhookEndpointInput {
  /** What agents name it by: small letters, digits and hyphens, 1 to 60. */
  readonly name: string;
  /** Of a host that this platform's operator allows. */
  readonly url: string;
  /** Whether a repeat with the same Idempotency-Key does nothing more than the first. When in doubt, it does not. */
  readonly honoursIdempotencyKeys: boolean;
  /** `whsec_` and 24 to 64 bytes in base64; made when absent. */
  readonly secret?: string | undefined;
  readonly idempotencyKey?: string | undefined;
}

const NAME = /^[a-z0-9][a-z0-9-]{0,59}$/;
const MAX_URL_LENGTH = 2_048;
const SECRET_PURPOSE = "integrations.webhookEndpoint";

/**
 * Lets runs of the tenant send to a URL. Idempotent by key.
 * @returns its UUID; what it is signed with is told by `secretOf`
 * @throws INTEGRATIONS_WEBHOOK_ENDPOINT_INVALID, INTEGRATIONS_WEBHOOK_ENDPOINT_NAME_TAKEN, EGRESS_REFUSED for a host that may not be
 * called, IDEMPOTENCY_KEY_REUSED, PERMISSION_MISSING
 */
export async function createWebhookEndpoint(caller: Caller, input: CreateWebhookEndpointInput): Promise<string> {
  requirePermission(caller, "integration:manage");
  const { idempotencyKey, ...request } = input;
  const endpoint = checkInput(request);
  const operation = { operation: "createWebhookEndpoint", key: idempotencyKey, input: request };
  return withTenant(caller, (tx) =>
    once(tx, caller, operation, newId(), (id) => insertEndpoint(tx, caller, { ...endpoint, id })),
  ).catch((error: unknown) => {
    if (!isUniqueViolation(error, "webhook_endpoint_tenant_id_name_key")) throw error;
    throw errors.INTEGRATIONS_WEBHOOK_ENDPOINT_NAME_TAKEN({ details: { name: endpoint.name } });
  });
}

type NewEndpoint = Pick<WebhookEndpoint, "id" | "name" | "url" | "honoursIdempotencyKeys"> & {
  readonly secret: string;
};

function checkInput({
  name,
  url,
  honoursIdempotencyKeys,
  secret = makeSecret(),
}: CreateWebhookEndpointInput): Omit<NewEndpoint, "id"> {
  const invalid = (message: string) => errors.INTEGRATIONS_WEBHOOK_ENDPOINT_INVALID({ message });
  if (!NAME.test(name)) throw invalid("A name has 1 to 60 small letters, digits and hyphens, no hyphen first.");
  if (!isSecret(secret)) throw invalid("A secret is whsec_ and 24 to 64 bytes in base64.");
  const { href } = allowedUrl(url);
  if (href.length > MAX_URL_LENGTH) throw invalid(`A URL has at most ${MAX_URL_LENGTH} characters.`);
  return { name, url: href, honoursIdempotencyKeys, secret };
}

async function insertEndpoint(
  tx: Tx,
  caller: Caller,
  { id, name, url, honoursIdempotencyKeys, secret }: NewEndpoint,
): Promise<void> {
  const sealed = seal(SECRET_PURPOSE, secret, { associatedData: ownerOf(caller.tenantId, id) });
  await Promise.all([
    tx.sql`
      INSERT INTO integrations.webhook_endpoint (tenant_id, id, name, url, honours_idempotency_keys, sealed_secret)
      VALUES (${caller.tenantId}, ${id}, ${name}, ${url}, ${honoursIdempotencyKeys}, ${sealed})`,
    recordAudit(tx, caller, {
      action: "integrations.webhookEndpoint.created",
      target: encodeId("WebhookEndpoint", id),
      details: { name, host: new URL(url).host, honoursIdempotencyKeys },
    }),
  ]);
}

/** What belongs to one endpoint opens beside no other. */
function ownerOf(tenantId: string, id: string): string {
  return `${tenantId}/${id}`;
}

/** What deliveries to the endpoint are signed with. */
export function secretOf({ tenantId, id, sealedSecret }: WebhookEndpointRow): string {
  return open(SECRET_PURPOSE, sealedSecret, { associatedData: ownerOf(tenantId, id) }).toString();
}

/** Ends an endpoint for good: what is sent to it from then on fails. @throws INTEGRATIONS_WEBHOOK_ENDPOINT_NOT_FOUND, PERMISSION_MISSING */
export async function deleteWebhookEndpoint(caller: Caller, id: string): Promise<void> {
  requirePermission(caller, "integration:manage");
  await withTenant(caller, async (tx) => {
    const [deleted] = await tx.sql<Pick<WebhookEndpoint, "name">>`
      DELETE FROM integrations.webhook_endpoint WHERE tenant_id = ${caller.tenantId} AND id = ${id} RETURNING name`;
    if (!deleted) throw errors.INTEGRATIONS_WEBHOOK_ENDPOINT_NOT_FOUND();
    await recordAudit(tx, caller, {
      action: "integrations.webhookEndpoint.deleted",
      target: encodeId("WebhookEndpoint", id),
      details: { name: deleted.name },
    });
  });
}

/** The endpoint that agents know by this name, with its sealed secret. */
export async function findEndpointByName(caller: Caller, name: string): Promise<WebhookEndpointRow | undefined> {
  const [found] = await withTenantOnce(
    caller,
    (tx) => tx.sql<WebhookEndpointRow>`
    SELECT * FROM integrations.webhook_endpoint WHERE tenant_id = ${caller.tenantId} AND name = ${name}`,
  );
  return found;
}

/** The endpoints with these UUIDs that the tenant has, with their sealed secrets, in no order. */
export function findWebhookEndpoints(caller: Caller, ids: readonly string[]): Promise<WebhookEndpointRow[]> {
  return withTenantOnce(
    caller,
    (tx) => tx.sql<WebhookEndpointRow>`
    SELECT * FROM integrations.webhook_endpoint WHERE tenant_id = ${caller.tenantId} AND id = ANY(${[...ids]}::uuid[])`,
  );
}

/** The tenant's endpoints, newest first. */
export async function listWebhookEndpoints(caller: Caller, page: PageRequest): Promise<Page<WebhookEndpoint>> {
  const before = decodeIdCursor(page.after) ?? null;
  const rows = await withTenantOnce(
    caller,
    (tx) => tx.sql<WebhookEndpoint>`
    SELECT tenant_id, id, name, url, honours_idempotency_keys, created_at FROM integrations.webhook_endpoint
    WHERE tenant_id = ${caller.tenantId} AND (${before}::uuid IS NULL OR id < ${before}::uuid)
    ORDER BY id DESC LIMIT ${page.first + 1}`,
  );
  return toPage(rows, page.first);
}
