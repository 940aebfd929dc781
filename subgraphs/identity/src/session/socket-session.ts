import { recordAudit } from "@sba/platform/audit";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { Session } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { announceRevocation } from "../principal/revocation.ts";
import { issueAccessToken, type AccessToken } from "../signing-key/access-token.ts";

/**
 * Sessions that a principal opens for a socket: a server that holds an API key, or a page that holds a token, hands a socket a
 * credential of its own, which lives for minutes and ends with its session and nothing else.
 */

/** A session without its secret. */
export type SessionInfo = Omit<Session, "refreshHash">;

export interface CreatedSession extends AccessToken {
  /** UUID. */
  readonly sessionId: string;
}

/** A session that nobody asked a token of for this long has ended. */
const IDLE_HOURS = 24;
/** Long enough to connect and to renew in band, short enough to be of no use in a log. */
const CONNECTION_TOKEN_S = 5 * 60;

/**
 * Opens a session of the caller and signs a token for its socket. A repeat with the same idempotency key gives the same session
 * another token: that is how it is kept open.
 * @throws IDENTITY_SESSION_NOT_FOUND when the session of this key has ended.
 */
export async function createSession(caller: Caller, idempotencyKey: string | undefined): Promise<CreatedSession> {
  const sessionId = await withTenant(caller, async (tx) => {
    const operation = { operation: "createSession", key: idempotencyKey, input: {} };
    const id = await once(tx, caller, operation, newId(), (created) => insertSession(tx, caller, created));
    await keepOpen(tx, caller, id);
    return id;
  });
  const { tenantId, principalId } = caller;
  const token = await issueAccessToken({ tenantId, principalId, sessionId, lifetimeSeconds: CONNECTION_TOKEN_S });
  return { sessionId, ...token };
}

async function insertSession(tx: Tx, caller: Caller, id: string): Promise<void> {
  const { tenantId, principalId, principalKind } = caller;
  const [userId, apiKeyId] = principalKind === "API_KEY" ? [null, principalId] : [principalId, null];
  await tx.sql`
    INSERT INTO identity.session (tenant_id, id, user_id, api_key_id, expires_at)
    VALUES (${tenantId}, ${id}, ${userId}, ${apiKeyId}, now())`;
  await recordAudit(tx, caller, { action: "identity.session.created", target: encodeId("Session", id) });
}

async function keepOpen(tx: Tx, { tenantId }: TenantScope, id: string): Promise<void> {
  const [kept] = await tx.sql`
    UPDATE identity.session SET expires_at = now() + make_interval(hours => ${IDLE_HOURS})
    WHERE tenant_id = ${tenantId} AND id = ${id} AND ended_at IS NULL RETURNING id`;
  if (!kept) throw errors.IDENTITY_SESSION_NOT_FOUND();
}

/**
 * Ends a session of the caller's own, or anybody's for who may manage members; its tokens end within a second. A repeat changes
 * nothing.
 * @throws IDENTITY_SESSION_NOT_FOUND
 */
export async function endSession(caller: Caller, id: string): Promise<void> {
  await withTenant(caller, async (tx) => {
    const [session] = await tx.sql<Pick<Session, "userId" | "apiKeyId" | "endedAt">>`
      SELECT user_id, api_key_id, ended_at FROM identity.session WHERE tenant_id = ${caller.tenantId} AND id = ${id} FOR UPDATE`;
    const principalId = session?.userId ?? session?.apiKeyId;
    if (!session || !principalId || !mayEnd(caller, principalId)) throw errors.IDENTITY_SESSION_NOT_FOUND();
    if (session.endedAt) return;
    await tx.sql`
      UPDATE identity.session SET ended_at = clock_timestamp() WHERE tenant_id = ${caller.tenantId} AND id = ${id}`;
    await recordAudit(tx, caller, { action: "identity.session.closed", target: encodeId("Session", id) });
    await announceRevocation(tx, caller, { principalId });
  });
}

function mayEnd(caller: Caller, principalId: string): boolean {
  return principalId === caller.principalId || caller.permissions.has("member:manage");
}

const ofCaller = ({ tenantId, principalId }: Caller) => ({
  tenantId,
  OR: [{ userId: principalId }, { apiKeyId: principalId }],
});

/** The caller's own sessions with these UUIDs, ended ones too. */
export function findOwnSessions(caller: Caller, ids: readonly string[]): Promise<SessionInfo[]> {
  return reader(caller).session.findMany({
    where: { ...ofCaller(caller), id: { in: [...ids] } },
    omit: { refreshHash: true },
  });
}

/** The caller's own sessions that go on, newest first. */
export async function listOwnSessions(caller: Caller, { first, after }: PageRequest): Promise<Page<SessionInfo>> {
  const position = decodeIdCursor(after);
  const rows = await reader(caller).session.findMany({
    where: {
      ...ofCaller(caller),
      endedAt: null,
      expiresAt: { gt: new Date() },
      ...(position === undefined ? {} : { id: { lt: position } }),
    },
    omit: { refreshHash: true },
    orderBy: { id: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}
