import { Readable } from "node:stream";
import type { RouteRequest } from "@sba/platform/server";
import type { JSONWebKeySet } from "jose";
import { createAuthenticator, type Authenticated, type Authenticator, type Issuer } from "./authenticate.ts";
import type { SubgraphLink, SubgraphLinks } from "./forward.ts";
import { openGrants, type GrantsOptions } from "./grants.ts";
import { askTenants, openOrigins, type OriginOptions, type Origins } from "./origins.ts";

/** Who is let in: by identity's word, or, where there is no identity to ask, anybody. */

export interface Access {
  readonly authenticator: Authenticator;
  readonly origins: Origins;
  readonly close: () => Promise<void>;
}

/** As identity issues its tokens; the gateway may not import a domain, so the two say it once each and a test compares them. */
const LOCAL_ISSUER = { issuer: "sba-identity", audience: "sba", namesSessions: true };
const IDENTITY = "identity";
const KEYS_PATH = "/.well-known/jwks.json";
const KEYS_TIMEOUT_MS = 3_000;

/** Asks identity. Needs pub/sub, by which it is told of revocations. */
export async function openAccess(
  links: SubgraphLinks,
  issuers: readonly Issuer[],
  options: OriginOptions & GrantsOptions,
): Promise<Access> {
  const identity = links.get(IDENTITY);
  if (!identity) throw new Error(`the gateway needs the subgraph ${IDENTITY}: it knows who may do what`);
  const grants = await openGrants(identity, options);
  const local = { ...LOCAL_ISSUER, keys: () => fetchKeys(identity) };
  return {
    authenticator: createAuthenticator([local, ...issuers], grants),
    origins: openOrigins(options, askTenants(identity, grants.onRevoked)),
    close: grants.close,
  };
}

const NOBODY = "00000000-0000-0000-0000-000000000000";
const ANYBODY: Authenticated = {
  tenantId: NOBODY,
  principalId: NOBODY,
  principalKind: "SERVICE_ACCOUNT",
  permissions: new Set(),
};

/** Lets anybody in, as nobody in particular. For a gateway that stands alone before somebody else's subgraphs. */
export function openToAnybody(options: OriginOptions): Access {
  return {
    origins: openOrigins(options),
    authenticator: {
      anonymous: ANYBODY,
      authenticate: () => Promise.resolve(ANYBODY),
      onRevoked: () => () => undefined,
    },
    close: () => Promise.resolve(),
  };
}

/** The local issuer's keys, from the route that also gives them to the world. */
async function fetchKeys(identity: SubgraphLink): Promise<JSONWebKeySet> {
  const route = identity.routes.find(({ path }) => path === KEYS_PATH);
  if (!route) throw new Error(`${identity.name} has no route ${KEYS_PATH}`);
  const request: RouteRequest = {
    url: KEYS_PATH,
    params: {},
    query: new URLSearchParams(),
    headers: {},
    body: Readable.from([]),
    caller: undefined,
    requestId: "keys",
    signal: AbortSignal.timeout(KEYS_TIMEOUT_MS),
  };
  const { status, body } = await route.handle(request);
  if (status !== 200) throw new Error(`${KEYS_PATH} answered ${status}`);
  return JSON.parse(
    body instanceof Readable ? Buffer.concat(await body.toArray()).toString() : Buffer.from(body ?? "").toString(),
  ) as JSONWebKeySet;
}
