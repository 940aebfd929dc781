import { createHash } from "node:crypto";
import type { PrincipalKind } from "@sba/platform/caller";
import { platformErrors } from "@sba/platform/errors";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { isPermission, type Permission } from "@sba/platform/permissions";
import { pubsub } from "@sba/platform/pubsub";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import type { SubgraphLink } from "./forward.ts";

/**
 * What a principal may do, asked of identity and remembered for seconds. Identity says whom a revocation concerns
 * (`identity.revoked`); what is lost on that way is noticed when the memory ends.
 */

export interface Grants {
  /** UUID. */
  readonly tenantId: string;
  /** UUID. */
  readonly principalId: string;
  readonly principalKind: PrincipalKind;
  readonly permissions: ReadonlySet<Permission>;
  readonly expiresAtMs: number | undefined;
  /** The tenant is suspended: the permissions are what that leaves. */
  readonly isSuspended: boolean;
}

export interface GrantsSource {
  /** Undefined when the principal is unknown, suspended or removed, or the session that its token names has ended. */
  readonly ofPrincipal: (
    tenantId: string,
    principalId: string,
    sessionId: string | undefined,
  ) => Promise<Grants | undefined>;
  /** Undefined when the key is unknown, expired or revoked. */
  readonly ofApiKey: (key: string) => Promise<Grants | undefined>;
  /** Called with whose rights may have changed, or with undefined when it may be anyone's. Returns how to leave. */
  readonly onRevoked: (listener: RevocationListener) => () => void;
  readonly close: () => Promise<void>;
}

/** Whose rights may have changed. */
export interface Revocation {
  readonly tenantId: string;
  /** Everybody's of the tenant when absent. */
  readonly principalId?: string | undefined;
}

export type RevocationListener = (revocation: Revocation | undefined) => void;

const REMEMBERED_MS = 5_000;
const MAX_REMEMBERED = 20_000;
const ANSWER_TIMEOUT_MS = 5_000;
const REVOKED_TOPIC = "identity.revoked";

const grantsSchema = z.object({
  tenantId: z.uuid(),
  principalId: z.uuid(),
  principalKind: z.enum(["USER", "SERVICE_ACCOUNT", "API_KEY"]),
  permissions: z.array(z.string()),
  expiresAt: z.coerce.date().nullable(),
  isSuspended: z.boolean(),
});
const FIELDS = "tenantId principalId principalKind permissions expiresAt isSuspended";
const PRINCIPAL_QUERY = `query PrincipalGrants($tenantId: ID!, $principalId: ID!, $sessionId: ID) { grants: principalGrants(tenantId: $tenantId, principalId: $principalId, sessionId: $sessionId) { ${FIELDS} } }`;
const API_KEY_QUERY = `query ApiKeyGrants($key: String!) { grants: apiKeyGrants(key: $key) { ${FIELDS} } }`;
const revocationSchema = z.object({ tenantId: z.uuid(), principalId: z.uuid().optional() });

type Answer = Promise<Grants | undefined>;

/** Whose grants are asked for: of an API key that is known with the answer. */
interface Whose {
  readonly tenantId: string;
  readonly principalId: string;
}

interface Asked {
  whose: Whose | undefined;
  /** Set while identity is asked: what was revoked meanwhile may not be in its answer. */
  revoked: (Revocation | undefined)[] | undefined;
  answer: Answer;
}

export interface GrantsOptions {
  /** For so long an answer holds when no revocation is heard. */
  readonly rememberedMs?: number | undefined;
}

/** Asks identity. Subscribes to revocations, so pub/sub must be there. */
export async function openGrants(
  identity: SubgraphLink,
  { rememberedMs = REMEMBERED_MS }: GrantsOptions = {},
): Promise<GrantsSource> {
  const remembered = new LRUCache<string, Asked>({ max: MAX_REMEMBERED, ttl: rememberedMs });
  const listeners = new Set<RevocationListener>();
  const remember = (key: string, whose: Whose | undefined, question: () => Answer): Answer => {
    const existing = remembered.get(key);
    if (existing) return existing.answer;
    const asked: Asked = { whose, revoked: undefined, answer: Promise.resolve(undefined) };
    asked.answer = askUntilCurrent(asked, question);
    remembered.set(key, asked);
    // A failure is not an answer: the next request asks again.
    asked.answer.catch(() => {
      if (remembered.peek(key) === asked) remembered.delete(key);
    });
    return asked.answer;
  };
  const leave = await pubsub().subscribe(REVOKED_TOPIC, (payload) => {
    const revocation = revocationOf(payload);
    for (const [key, asked] of remembered.entries()) {
      if (asked.revoked) asked.revoked.push(revocation);
      else if (!asked.whose || isConcerned(asked.whose, revocation)) remembered.delete(key);
    }
    for (const listener of listeners) listener(revocation);
  });
  return {
    ofPrincipal: (tenantId, principalId, sessionId) =>
      remember(`${tenantId}/${principalId}/${sessionId ?? ""}`, { tenantId, principalId }, () =>
        ask(identity, PRINCIPAL_QUERY, { tenantId, principalId, sessionId }),
      ),
    ofApiKey: (key) =>
      remember(createHash("sha256").update(key).digest("base64url"), undefined, () =>
        ask(identity, API_KEY_QUERY, { key }),
      ),
    onRevoked: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    close: leave,
  };
}

/** Nobody is given an answer that may be older than a revocation which was heard before it came. */
async function askUntilCurrent(asked: Asked, question: () => Answer): Answer {
  for (;;) {
    const revoked: (Revocation | undefined)[] = [];
    asked.revoked = revoked;
    const grants = await question().finally(() => {
      asked.revoked = undefined;
    });
    asked.whose = grants ?? asked.whose;
    const { whose } = asked;
    if (!whose || !revoked.some((revocation) => isConcerned(whose, revocation))) return grants;
  }
}

/** Whether a revocation may be of this principal. Without one it may be of anyone. */
export function isConcerned({ tenantId, principalId }: Whose, revocation: Revocation | undefined): boolean {
  if (!revocation) return true;
  return revocation.tenantId === tenantId && (revocation.principalId ?? principalId) === principalId;
}

/** Undefined for what cannot be read, or was missed: it may be of anyone. */
function revocationOf(payload: string | undefined): Revocation | undefined {
  try {
    return revocationSchema.safeParse(JSON.parse(payload ?? "null")).data;
  } catch {
    return undefined;
  }
}

/** @throws SUBGRAPH_UNAVAILABLE when identity does not answer: nobody is let in, or kept out, by guessing. */
async function ask(
  identity: SubgraphLink,
  query: string,
  variables: Readonly<Record<string, string | undefined>>,
): Answer {
  const requestId = newId();
  const { data, errors } = await identity.execute(
    { query, variables },
    { caller: undefined, internal: true, requestId, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) },
  );
  const parsed = z.object({ grants: grantsSchema.nullable() }).safeParse(data);
  if (errors || !parsed.success) {
    logger.error(
      { requestId, "grants.errors": errors?.map(({ message }) => message) },
      "identity did not answer for a principal",
    );
    throw platformErrors.SUBGRAPH_UNAVAILABLE();
  }
  const { grants } = parsed.data;
  if (!grants) return undefined;
  const { expiresAt, permissions, ...principal } = grants;
  return { ...principal, permissions: new Set(permissions.filter(isPermission)), expiresAtMs: expiresAt?.getTime() };
}
