import { fileURLToPath } from "node:url";
import type { Config } from "@sba/platform/config";
import { databaseUrlsOf } from "@sba/platform/services";
import { openRateLimiter, type RateLimiter } from "@sba/platform/rate-limit";
import type { GatewayOptions } from "./gateway.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { readManifests } from "./manifests.ts";
import { policiesByPermissions } from "./policies.ts";
import type { QuotaLimits } from "./quotas.ts";
import type { RateLimits } from "./tolls.ts";
import type { TrustedDocumentsOptions } from "./trusted-documents.ts";

const CONSOLE = fileURLToPath(new URL("../../clients/console/dist/", import.meta.url));
const MANIFESTS = new URL("../../schema/documents/", import.meta.url);

/** What the environment says of the gateway, in either deployment. */
export function gatewayOptionsOf(
  config: Config,
): Pick<
  GatewayOptions,
  | "host"
  | "port"
  | "development"
  | "allowedOrigins"
  | "issuers"
  | "limits"
  | "rateLimits"
  | "subgraphTimeoutsMs"
  | "anybody"
  | "introspection"
  | "policies"
  | "trustedProxies"
  | "consoleDirectory"
> {
  return {
    host: config.HOST,
    port: config.PORT,
    development: config.NODE_ENV !== "production",
    allowedOrigins: [
      ...config.ALLOWED_ORIGINS,
      ...(config.PUBLIC_URL === undefined ? [] : [new URL(config.PUBLIC_URL).origin]),
    ],
    anybody: config.AUTH === "off",
    // It is made for our own subgraphs, and for people who sign in.
    consoleDirectory: config.AUTH === "off" ? undefined : CONSOLE,
    introspection: config.INTROSPECTION,
    policies: policiesByPermissions(config.POLICIES),
    limits: limitsOf(config),
    rateLimits: rateLimitsOf(config),
    subgraphTimeoutsMs: config.SUBGRAPH_TIMEOUTS_MS,
    trustedProxies: config.TRUSTED_PROXIES,
    issuers: config.TRUSTED_ISSUERS.map(({ issuer, audience, jwksUrl }) => ({
      issuer,
      audience,
      keys: new URL(jwksUrl),
      algorithms: ["ES256", "RS256"],
    })),
  };
}

/** Without one a gateway that asks nobody who he is stands alone. */
export function hasDatabase({ DATABASE_URL, DATABASE_ADMIN_URL }: Config): boolean {
  return DATABASE_URL !== undefined || DATABASE_ADMIN_URL !== undefined;
}

function limitsOf({ LIMITS }: Config): Partial<Limits> {
  const quotas = (of: "connections" | "subscriptions"): QuotaLimits => ({
    perTenant: LIMITS.get(`${of}PerTenant`) ?? DEFAULT_LIMITS[of].perTenant,
    perPrincipal: LIMITS.get(`${of}PerPrincipal`) ?? DEFAULT_LIMITS[of].perPrincipal,
    perAddress: LIMITS.get(`${of}PerAddress`) ?? DEFAULT_LIMITS[of].perAddress,
  });
  const single = [...LIMITS].filter(([name]) => !name.includes("Per"));
  return { ...Object.fromEntries(single), connections: quotas("connections"), subscriptions: quotas("subscriptions") };
}

function rateLimitsOf({ RATE_LIMITS }: Config): Partial<RateLimits> {
  return Object.fromEntries([...RATE_LIMITS].map(([name, rate]) => [name, { name, ...rate }]));
}

/** The documents that clients were released with. */
export async function readTrustedDocuments({ TRUSTED_DOCUMENTS }: Config): Promise<TrustedDocumentsOptions> {
  return { manifests: await readManifests(MANIFESTS), only: TRUSTED_DOCUMENTS === "only" };
}

/** The limits that all gateways of an installation share: in Redis when it is there, in Postgres otherwise. */
export async function openSharedRateLimiter(config: Config): Promise<RateLimiter> {
  const { REDIS_URL: redisUrl } = config;
  if (config.AUTH === "off" && !hasDatabase(config)) return openRateLimiter({ redisUrl });
  return openRateLimiter({
    redisUrl,
    databaseUrl: redisUrl === undefined ? (await databaseUrlsOf(config)).app : undefined,
  });
}
