import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { Session, User } from "@sba/platform/generated/prisma/client";
import { encodeId, newId } from "@sba/platform/ids";
import { makeCredential, parseCredential, type Credential } from "../credential.ts";
import { errors } from "../errors.ts";
import { permissionsOf } from "../role/role.ts";
import { issueAccessToken, type AccessToken } from "../signing-key/access-token.ts";
import { findUserByEmail, normalizeEmail } from "../user/user.ts";
import { verifyPassword } from "../user/password.ts";
import { claimAttempt, forgetAttempts } from "./throttle.ts";

/** A session ends when it was not refreshed for this long. */
const IDLE_DAYS = 30;

export interface SignInInput {
  readonly email: string;
  readonly password: string;
  /** UUID; the only or the last used membership by default. */
  readonly tenantId?: string | undefined;
}

export interface SessionTokens extends AccessToken {
  /** Good once: refreshing gives the next one. */
  readonly refreshToken: string;
}

export interface RequestInfo {
  readonly requestId: string;
}

/**
 * Opens a session by e-mail address and password. Whatever is wrong (address, password, no membership) is one error.
 * @throws IDENTITY_CREDENTIALS_INVALID
 * @throws IDENTITY_SIGN_IN_THROTTLED with retryAfterMs after repeated failures.
 */
export async function signIn(input: SignInInput, request: RequestInfo): Promise<SessionTokens> {
  const email = normalizeEmail(input.email);
  await claimAttempt(email);
  const user = await findUserByEmail(email);
  const isRight = await verifyPassword(input.password, user?.passwordHash);
  const tenantId = user && isRight ? chooseTenant(user, input.tenantId) : undefined;
  if (!user || tenantId === undefined) throw errors.IDENTITY_CREDENTIALS_INVALID();
  const refreshToken = await withTenant({ tenantId }, (tx) => openSession(tx, user, tenantId, request));
  return { ...(await issueAccessToken({ tenantId, principalId: user.id })), refreshToken };
}

function chooseTenant({ tenantIds, lastTenantId }: User, wanted: string | undefined): string | undefined {
  if (wanted !== undefined) return tenantIds.find((id) => id === wanted);
  return tenantIds.find((id) => id === lastTenantId) ?? tenantIds[0];
}

async function openSession(tx: Tx, user: User, tenantId: string, request: RequestInfo): Promise<string> {
  const caller = await lockCaller(tx, user.id, tenantId, request);
  if (!caller) throw errors.IDENTITY_CREDENTIALS_INVALID();
  const { id, secretHash, text } = makeCredential("sbr", tenantId, newId());
  await tx.sql`
    INSERT INTO identity.session (tenant_id, id, user_id, refresh_hash, expires_at)
    VALUES (${tenantId}, ${id}, ${user.id}, ${secretHash}, now() + make_interval(days => ${IDLE_DAYS}))`;
  await tx.sql`UPDATE identity.user SET last_tenant_id = ${tenantId} WHERE id = ${user.id}`;
  await forgetAttempts(tx, user.email);
  await recordAudit(tx, caller, { action: "identity.session.opened", target: encodeId("Principal", user.id) });
  return text;
}

// The membership is read under a lock: someone who is being suspended does not get a session that outlives it.
async function lockCaller(
  tx: Tx,
  userId: string,
  tenantId: string,
  { requestId }: RequestInfo,
): Promise<Caller | undefined> {
  const [member] = await tx.sql<{ roles: string[] }>`
    SELECT roles FROM identity.membership
    WHERE tenant_id = ${tenantId} AND user_id = ${userId} AND status = 'ACTIVE' FOR SHARE`;
  return (
    member && {
      tenantId,
      principalId: userId,
      principalKind: "USER",
      permissions: permissionsOf(member.roles),
      requestId,
    }
  );
}

/**
 * Gives a new access token and the next refresh token for a refresh token, once. An old one that comes back was stolen,
 * by whoever sends it or from them: the whole session ends (RFC 9700 section 4.14.2).
 * @throws IDENTITY_REFRESH_TOKEN_INVALID
 */
export async function refreshSession(refreshToken: string, request: RequestInfo): Promise<SessionTokens> {
  const used = parseCredential("sbr", refreshToken);
  if (!used) throw errors.IDENTITY_REFRESH_TOKEN_INVALID();
  const next = makeCredential("sbr", used.tenantId, used.id);
  const userId = await withTenant(
    used,
    async (tx) => (await rotate(tx, used, next.secretHash)) ?? endReused(tx, used, request),
  );
  if (userId === undefined) throw errors.IDENTITY_REFRESH_TOKEN_INVALID();
  return { ...(await issueAccessToken({ tenantId: used.tenantId, principalId: userId })), refreshToken: next.text };
}

// Compare and swap: of two uses of one token, only the first finds its hash.
async function rotate(tx: Tx, { tenantId, id, secretHash }: Credential, nextHash: string): Promise<string | undefined> {
  const [session] = await tx.sql<Pick<Session, "userId">>`
    UPDATE identity.session SET refresh_hash = ${nextHash}, expires_at = now() + make_interval(days => ${IDLE_DAYS})
    WHERE tenant_id = ${tenantId} AND id = ${id} AND refresh_hash = ${secretHash} AND ended_at IS NULL AND expires_at > now()
    RETURNING user_id`;
  return session?.userId;
}

async function endReused(tx: Tx, { tenantId, id, secretHash }: Credential, request: RequestInfo): Promise<undefined> {
  const [ended] = await tx.sql<Pick<Session, "userId">>`
    UPDATE identity.session SET ended_at = clock_timestamp()
    WHERE tenant_id = ${tenantId} AND id = ${id} AND refresh_hash <> ${secretHash} AND ended_at IS NULL RETURNING user_id`;
  const caller = ended && (await lockCaller(tx, ended.userId, tenantId, request));
  if (!caller) return;
  await recordAudit(tx, caller, {
    action: "identity.session.reuseDetected",
    target: encodeId("Principal", caller.principalId),
  });
}
