import { recordAudit } from "@sba/platform/audit";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { Session, User } from "@sba/platform/generated/prisma/client";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { makeCredential, parseCredential, type Credential } from "../credential.ts";
import { errors } from "../errors.ts";
import { announceRevocation } from "../principal/revocation.ts";
import { permissionsOf } from "../role/role.ts";
import { issueAccessToken, type AccessToken } from "../signing-key/access-token.ts";
import { findUserByEmail, normalizeEmail } from "../user/user.ts";
import { verifyPassword, withPlace } from "../user/password.ts";
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
 * @throws IDENTITY_SIGN_IN_BUSY with retryAfterMs while too many wait for their passwords to be looked at.
 */
export async function signIn(input: SignInInput, request: RequestInfo): Promise<SessionTokens> {
  const user = await withPlace(() => findByPassword(input));
  const tenantId = user && chooseTenant(user, input.tenantId);
  if (!user || tenantId === undefined) throw errors.IDENTITY_CREDENTIALS_INVALID();
  const { id: sessionId, text } = await withTenant({ tenantId }, (tx) => openSession(tx, user, tenantId, request));
  return { ...(await issueAccessToken({ tenantId, principalId: user.id, sessionId })), refreshToken: text };
}

async function findByPassword({ email: given, password }: SignInInput): Promise<User | undefined> {
  const email = normalizeEmail(given);
  await claimAttempt(email);
  const user = await findUserByEmail(email);
  return (await verifyPassword(password, user?.passwordHash)) ? (user ?? undefined) : undefined;
}

function chooseTenant({ tenantIds, lastTenantId }: User, wanted: string | undefined): string | undefined {
  if (wanted !== undefined) return tenantIds.find((id) => id === wanted);
  return tenantIds.find((id) => id === lastTenantId) ?? tenantIds[0];
}

async function openSession(
  tx: Tx,
  user: User,
  tenantId: string,
  request: RequestInfo,
): Promise<{ readonly id: string; readonly text: string }> {
  const caller = await lockCaller(tx, user.id, tenantId, request);
  if (!caller) throw errors.IDENTITY_CREDENTIALS_INVALID();
  const { id, secretHash, text } = makeCredential("sbr", tenantId, newId());
  await tx.sql`
    INSERT INTO identity.session (tenant_id, id, user_id, refresh_hash, expires_at)
    VALUES (${tenantId}, ${id}, ${user.id}, ${secretHash}, now() + make_interval(days => ${IDLE_DAYS}))`;
  await tx.sql`UPDATE identity.user SET last_tenant_id = ${tenantId} WHERE id = ${user.id}`;
  await forgetAttempts(tx, user.email);
  await recordAudit(tx, caller, { action: "identity.session.opened", target: encodeId("Principal", user.id) });
  return { id, text };
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
  const { tenantId, id: sessionId } = used;
  return { ...(await issueAccessToken({ tenantId, principalId: userId, sessionId })), refreshToken: next.text };
}

// Compare and swap: of two uses of one token, only the first finds its hash.
async function rotate(tx: Tx, { tenantId, id, secretHash }: Credential, nextHash: string): Promise<string | undefined> {
  const [session] = await tx.sql<Pick<Session, "userId">>`
    UPDATE identity.session SET refresh_hash = ${nextHash}, expires_at = now() + make_interval(days => ${IDLE_DAYS})
    WHERE tenant_id = ${tenantId} AND id = ${id} AND refresh_hash = ${secretHash} AND ended_at IS NULL AND expires_at > now()
    RETURNING user_id`;
  return session?.userId ?? undefined;
}

async function endReused(tx: Tx, { tenantId, id, secretHash }: Credential, request: RequestInfo): Promise<undefined> {
  const [ended] = await tx.sql<Pick<Session, "userId">>`
    UPDATE identity.session SET ended_at = clock_timestamp()
    WHERE tenant_id = ${tenantId} AND id = ${id} AND refresh_hash <> ${secretHash} AND ended_at IS NULL RETURNING user_id`;
  await recordEnd(tx, ended, { action: "identity.session.reuseDetected", tenantId, request });
}

interface SessionEnd extends TenantScope {
  readonly action: string;
  readonly request: RequestInfo;
}

/** Tells of a session of a person that this transaction ended; its access tokens end with it. */
async function recordEnd(
  tx: Tx,
  ended: Pick<Session, "userId"> | undefined,
  { action, tenantId, request }: SessionEnd,
): Promise<void> {
  const caller = ended?.userId ? await lockCaller(tx, ended.userId, tenantId, request) : undefined;
  if (!caller) return;
  await recordAudit(tx, caller, { action, target: encodeId("Principal", caller.principalId) });
  await announceRevocation(tx, caller, { principalId: caller.principalId });
}

/**
 * Ends the session of a refresh token, and its access tokens within a second. Whoever holds the token may; one that is not good,
 * or was used already, ends nothing and is no error: the caller is signed out either way.
 */
export async function signOut(refreshToken: string, request: RequestInfo): Promise<void> {
  const used = parseCredential("sbr", refreshToken);
  if (!used) return;
  const { tenantId, id, secretHash } = used;
  await withTenant(used, async (tx) => {
    const [ended] = await tx.sql<Pick<Session, "userId">>`
      UPDATE identity.session SET ended_at = clock_timestamp()
      WHERE tenant_id = ${tenantId} AND id = ${id} AND refresh_hash = ${secretHash} AND ended_at IS NULL RETURNING user_id`;
    await recordEnd(tx, ended, { action: "identity.session.closed", tenantId, request });
  });
}

/** Whether a session is this principal's and goes on. */
export async function isSessionOpen(
  scope: TenantScope,
  { principalId, sessionId }: { readonly principalId: string; readonly sessionId: string },
): Promise<boolean> {
  const session = await reader(scope).session.findUnique({
    where: { tenantId_id: { tenantId: scope.tenantId, id: sessionId } },
  });
  if (!session || (session.userId ?? session.apiKeyId) !== principalId) return false;
  return session.endedAt === null && session.expiresAt.getTime() > Date.now();
}
