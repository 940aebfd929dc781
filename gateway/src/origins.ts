import { platformErrors } from "@sba/platform/errors";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { errors } from "./errors.ts";
import type { SubgraphLink } from "./forward.ts";
import type { Revocation, RevocationListener } from "./grants.ts";

/**
 * Whose pages may call from a browser: our own, those of the platform's list, and for a tenant those that it allows. A browser asks
 * before it says for whom (preflight, upgrade of a socket): then it is let on when any tenant allows the origin, and judged for
 * its tenant as soon as that is known, before anything is done. Who sends no Origin is no browser.
 */

/** Where a request comes from, as browsers say and nobody else has to. */
export interface Page {
  readonly origin: string | undefined;
  /** Of the request: by it our own pages are known. */
  readonly host: string | undefined;
}

export interface Origins {
  /** Whether pages of this origin may call for the tenant; without one, whether for anybody. @throws SUBGRAPH_UNAVAILABLE when nobody can say */
  readonly isAllowed: (page: Page, tenantId?: string) => boolean | Promise<boolean>;
}

export interface OriginOptions {
  readonly allowedOrigins?: readonly string[] | undefined;
  readonly development: boolean;
}

/** Apollo Studio's Sandbox outside the embedded page. */
const DEVELOPMENT_ORIGINS = ["https://studio.apollographql.com"];
const REMEMBERED_MS = 5_000;
const MAX_REMEMBERED = 20_000;
const MAX_ORIGIN_LENGTH = 300;
const ANSWER_TIMEOUT_MS = 5_000;
const QUERY = `query OriginAllowed($origin: String!, $tenantId: ID) { isAllowed: isOriginAllowed(origin: $origin, tenantId: $tenantId) }`;

/** Of the platform's configuration alone, or, with an identity to ask, of the tenants' too. */
export function openOrigins(
  { allowedOrigins = [], development }: OriginOptions,
  tenants?: (origin: string, tenantId: string | undefined) => Promise<boolean>,
): Origins {
  const allowed = new Set([...allowedOrigins, ...(development ? DEVELOPMENT_ORIGINS : [])]);
  return {
    isAllowed: ({ origin, host }, tenantId) => {
      if (origin === undefined || allowed.has(origin)) return true;
      if (!URL.canParse(origin) || origin.length > MAX_ORIGIN_LENGTH) return false;
      if (new URL(origin).host === host) return true;
      return tenants ? tenants(origin, tenantId) : false;
    },
  };
}

interface Asked {
  readonly tenantId: string | undefined;
  /** While identity is asked: whether its answer may be older than a change that was heard of. */
  isOutdated: boolean;
  isUnderWay: boolean;
  answer: Promise<boolean>;
}

/** Asks identity what tenants allow, and remembers it for seconds, or until it is heard that a tenant has changed something. */
export function askTenants(
  identity: SubgraphLink,
  onRevoked: (listener: RevocationListener) => () => void,
): (origin: string, tenantId: string | undefined) => Promise<boolean> {
  const remembered = new LRUCache<string, Asked>({ max: MAX_REMEMBERED, ttl: REMEMBERED_MS });
  onRevoked((revocation) => {
    for (const [key, asked] of remembered.entries())
      if (!mayConcern(asked.tenantId, revocation)) continue;
      else if (asked.isUnderWay) asked.isOutdated = true;
      else remembered.delete(key);
  });
  return (origin, tenantId) => {
    const key = `${tenantId ?? ""} ${origin}`;
    const known = remembered.get(key);
    if (known) return known.answer;
    const asked: Asked = { tenantId, isOutdated: false, isUnderWay: true, answer: Promise.resolve(false) };
    asked.answer = askUntilCurrent(asked, () => ask(identity, origin, tenantId));
    remembered.set(key, asked);
    asked.answer.catch(() => {
      if (remembered.peek(key) === asked) remembered.delete(key);
    });
    return asked.answer;
  };
}

async function askUntilCurrent(asked: Asked, question: () => Promise<boolean>): Promise<boolean> {
  try {
    for (;;) {
      asked.isOutdated = false;
      const answer = await question();
      if (!asked.isOutdated) return answer;
    }
  } finally {
    asked.isUnderWay = false;
  }
}

/** What somebody of a tenant may do has nothing to do with its origins; what is allowed for anybody may be any tenant's. */
function mayConcern(tenantId: string | undefined, revocation: Revocation | undefined): boolean {
  if (revocation?.principalId !== undefined) return false;
  return !revocation || tenantId === undefined || tenantId === revocation.tenantId;
}

async function ask(identity: SubgraphLink, origin: string, tenantId: string | undefined): Promise<boolean> {
  const requestId = newId();
  const { data, errors: problems } = await identity.execute(
    { query: QUERY, variables: { origin, tenantId } },
    { caller: undefined, internal: true, requestId, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) },
  );
  const parsed = z.object({ isAllowed: z.boolean() }).safeParse(data);
  if (parsed.success) return parsed.data.isAllowed;
  logger.error(
    { requestId, "origins.errors": problems?.map(({ message }) => message) },
    "identity did not answer for an origin",
  );
  throw platformErrors.SUBGRAPH_UNAVAILABLE();
}

/** Refuses a page that its caller's tenant does not allow. @throws ORIGIN_NOT_ALLOWED, SUBGRAPH_UNAVAILABLE */
export async function requireOrigin({ isAllowed }: Origins, page: Page, tenantId: string): Promise<void> {
  if (!(await isAllowed(page, tenantId))) throw errors.ORIGIN_NOT_ALLOWED({ details: { origin: page.origin } });
}
