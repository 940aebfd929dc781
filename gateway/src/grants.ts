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
}

export interface GrantsSource {
  /** Undefined when the principal is unknown, suspended or removed. */
  readonly ofPrincipal: (tenantId: string, principalId: string) => Promise<Grants | undefined>;
  /** Undefined when the key is unknown, expired or revoked. */
  readonly ofApiKey: (key: string) => Promise<Grants | undefined>;
  /** Called with the principal that may have lost something, or with undefined when it may be anyone. Returns how to leave. */
  readonly onRevoked: (listener: RevocationListener) => () => void;
  readonly close: () => Promise<void>;
}

export type RevocationListener = (principalId: string | undefined) => void;

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
});
const FIELDS = "tenantId principalId principalKind permissions expiresAt";
const PRINCIPAL_QUERY = `query PrincipalGrants($tenantId: ID!, $principalId: ID!) { grants: principalGrants(tenantId: $tenantId, principalId: $principalId) { ${FIELDS} } }`;
const API_KEY_QUERY = `query ApiKeyGrants($key: String!) { grants: apiKeyGrants(key: $key) { ${FIELDS} } }`;
const revocationSchema = z.object({ principalId: z.uuid() });

type Remembered = Promise<Grants | undefined>;

/** Asks identity. Subscribes to revocations, so pub/sub must be there. */
export async function openGrants(identity: SubgraphLink): Promise<GrantsSource> {
  const remembered = new LRUCache<string, { readonly answer: Remembered }>({ max: MAX_REMEMBERED, ttl: REMEMBERED_MS });
  const listeners = new Set<RevocationListener>();
  const remember = (key: string, askIdentity: () => Remembered): Remembered => {
    const existing = remembered.get(key);
    if (existing) return existing.answer;
    const entry = { answer: askIdentity() };
    remembered.set(key, entry);
    // A failure is not an answer: the next request asks again.
    entry.answer.catch(() => {
      if (remembered.peek(key) === entry) remembered.delete(key);
    });
    return entry.answer;
  };
  const leave = await pubsub().subscribe(REVOKED_TOPIC, (payload) => {
    // Which keys are a principal's is not known here; revocations are rare and asking again is cheap.
    remembered.clear();
    const principalId = principalOf(payload);
    for (const listener of listeners) listener(principalId);
  });
  return {
    ofPrincipal: (tenantId, principalId) =>
      remember(`${tenantId}/${principalId}`, () => ask(identity, PRINCIPAL_QUERY, { tenantId, principalId })),
    ofApiKey: (key) =>
      remember(createHash("sha256").update(key).digest("base64url"), () => ask(identity, API_KEY_QUERY, { key })),
    onRevoked: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    close: leave,
  };
}

function principalOf(payload: string | undefined): string | undefined {
  try {
    return revocationSchema.safeParse(JSON.parse(payload ?? "null")).data?.principalId;
  } catch {
    return undefined;
  }
}

/** @throws SUBGRAPH_UNAVAILABLE when identity does not answer: nobody is let in, or kept out, by guessing. */
async function ask(identity: SubgraphLink, query: string, variables: Readonly<Record<string, string>>): Remembered {
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
