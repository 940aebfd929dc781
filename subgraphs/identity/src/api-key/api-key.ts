import { z } from "zod";
import { recordAudit } from "@sba/platform/audit";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import type { ApiKey } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { isPermission, type Permission } from "@sba/platform/permissions";
import { reader } from "@sba/platform/reader";
import { makeCredential, parseCredential, sameSecret } from "../credential.ts";
import { errors } from "../errors.ts";
import { announceRevocation } from "../principal/revocation.ts";
import { permissionsOf, requireHeld, type RoleKey } from "../role/role.ts";

export interface ApiKeyInput {
  /** 1 to 100 characters, for people. */
  readonly name: string;
  readonly roles?: readonly RoleKey[];
  readonly permissions?: readonly Permission[];
  /** In the future; never by default. */
  readonly expiresAt?: Date;
}

/** A key without its secret. */
export type ApiKeyInfo = Omit<ApiKey, "secretHash">;

/** A key that was just made. */
export interface CreatedApiKey {
  readonly id: string;
  /** The text to send as `Authorization: Bearer`; it cannot be shown again. */
  readonly key: string;
}

const nameSchema = z.string().trim().min(1).max(100);

/**
 * Creates an API key that holds these permissions and those of these roles.
 * @throws IDENTITY_API_KEY_INVALID without a name or any permission, or when it would have expired already.
 * @throws IDENTITY_PERMISSION_NOT_HELD when it would hold what the caller does not.
 */
export async function createApiKey(caller: Caller, input: ApiKeyInput): Promise<CreatedApiKey> {
  const draft = draftApiKey(caller, input);
  await withTenant(caller, (tx) => insertApiKey(tx, caller, draft));
  return { id: draft.id, key: draft.text };
}

/**
 * As createApiKey, once per idempotency key. A repeat gives the same API key without its text, which was shown once.
 * @throws IDEMPOTENCY_KEY_REUSED
 */
export async function createApiKeyOnce(
  caller: Caller,
  input: ApiKeyInput,
  idempotencyKey: string | undefined,
): Promise<Omit<CreatedApiKey, "key"> & { readonly key: string | null }> {
  const draft = draftApiKey(caller, input);
  const id = await withTenant(caller, (tx) =>
    once(tx, caller, { operation: "createApiKey", key: idempotencyKey, input }, draft.id, () =>
      insertApiKey(tx, caller, draft),
    ),
  );
  return { id, key: id === draft.id ? draft.text : null };
}

interface ApiKeyDraft extends Required<Omit<ApiKeyInput, "expiresAt">> {
  readonly id: string;
  readonly text: string;
  readonly secretHash: string;
  readonly expiresAt: Date | null;
}

function draftApiKey(caller: Caller, input: ApiKeyInput): ApiKeyDraft {
  const { roles = [], permissions = [], expiresAt = null } = input;
  const granted = grantedBy({ roles, permissions });
  const name = checkInput(input, granted);
  requireHeld(caller, granted);
  const { id, secretHash, text } = makeCredential("sba", caller.tenantId, newId());
  return { id, text, secretHash, name, roles, permissions, expiresAt };
}

async function insertApiKey(tx: Tx, caller: Caller, draft: ApiKeyDraft): Promise<void> {
  const { id, name, secretHash, roles, permissions, expiresAt } = draft;
  await tx.sql`
    INSERT INTO identity.api_key (tenant_id, id, name, secret_hash, roles, permissions, created_by, expires_at)
    VALUES (${caller.tenantId}, ${id}, ${name}, ${secretHash}, ${roles}::text[], ${permissions}::text[],
            ${caller.principalId}, ${expiresAt})`;
  const details = { name, permissions: [...grantedBy(draft)], expiresAt };
  await recordAudit(tx, caller, { action: "identity.apiKey.created", target: encodeId("ApiKey", id), details });
}

function checkInput({ name, expiresAt }: ApiKeyInput, granted: ReadonlySet<Permission>): string {
  const invalid = (message: string) => errors.IDENTITY_API_KEY_INVALID({ message });
  const parsed = nameSchema.safeParse(name);
  if (!parsed.success) throw invalid("The name must have 1 to 100 characters.");
  if (expiresAt && expiresAt.getTime() <= Date.now()) throw invalid("The expiry must be in the future.");
  if (granted.size === 0) throw invalid("The key must hold at least one permission.");
  return parsed.data;
}

/** What a key may do: its own permissions and those of its roles. */
export function grantedBy({
  roles,
  permissions,
}: {
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}): Set<Permission> {
  return new Set([...permissionsOf(roles), ...permissions.filter(isPermission)]);
}

/**
 * Ends a key for good, and its sessions, within a second everywhere. A repeat changes nothing.
 * @throws IDENTITY_API_KEY_NOT_FOUND
 */
export async function revokeApiKey(caller: Caller, id: string): Promise<void> {
  await withTenant(caller, async (tx) => {
    const [key] = await tx.sql<Pick<ApiKey, "revokedAt">>`
      SELECT revoked_at FROM identity.api_key WHERE tenant_id = ${caller.tenantId} AND id = ${id} FOR UPDATE`;
    if (!key) throw errors.IDENTITY_API_KEY_NOT_FOUND();
    if (key.revokedAt) return;
    await tx.sql`UPDATE identity.api_key SET revoked_at = clock_timestamp() WHERE tenant_id = ${caller.tenantId} AND id = ${id}`;
    await tx.sql`
      UPDATE identity.session SET ended_at = clock_timestamp()
      WHERE tenant_id = ${caller.tenantId} AND api_key_id = ${id} AND ended_at IS NULL`;
    await recordAudit(tx, caller, { action: "identity.apiKey.revoked", target: encodeId("ApiKey", id) });
    await announceRevocation(tx, caller, { principalId: id });
  });
}

/** The key with this text, if it is one of ours and neither revoked nor expired. */
export async function verifyApiKey(text: string): Promise<ApiKeyInfo | undefined> {
  const credential = parseCredential("sba", text);
  if (!credential) return undefined;
  const { tenantId, id, secretHash } = credential;
  // No reader: the tenant is whatever the text says, and a forger's must not cost a busy one its client.
  const [row] = await withTenantOnce(
    credential,
    (tx) => tx.sql<ApiKey>`SELECT * FROM identity.api_key WHERE tenant_id = ${tenantId} AND id = ${id}`,
  );
  if (!row) return undefined;
  const { secretHash: storedHash, ...key } = row;
  return sameSecret(storedHash, secretHash) && isLive(key) ? key : undefined;
}

export function isLive({ revokedAt, expiresAt }: Pick<ApiKey, "revokedAt" | "expiresAt">): boolean {
  return revokedAt === null && (expiresAt === null || expiresAt.getTime() > Date.now());
}

/** The tenant's keys among these UUIDs, without their secrets. */
export function findApiKeys(scope: TenantScope, ids: readonly string[]): Promise<ApiKeyInfo[]> {
  return reader(scope).apiKey.findMany({
    where: { tenantId: scope.tenantId, id: { in: [...ids] } },
    omit: { secretHash: true },
  });
}

/** The tenant's keys, revoked and expired ones too, newest first. */
export async function listApiKeys(caller: Caller, { first, after }: PageRequest): Promise<Page<ApiKeyInfo>> {
  const position = decodeIdCursor(after);
  const rows = await reader(caller).apiKey.findMany({
    where: { tenantId: caller.tenantId, ...(position === undefined ? {} : { id: { lt: position } }) },
    omit: { secretHash: true },
    orderBy: { id: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}
