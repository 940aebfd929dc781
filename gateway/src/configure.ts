import type { Config } from "@sba/platform/config";
import type { GatewayOptions } from "./gateway.ts";

/** What the environment says of the gateway, in either deployment. */
export function gatewayOptionsOf(
  config: Config,
): Pick<GatewayOptions, "host" | "port" | "development" | "allowedOrigins" | "issuers"> {
  return {
    host: config.HOST,
    port: config.PORT,
    development: config.NODE_ENV !== "production",
    allowedOrigins: config.ALLOWED_ORIGINS,
    issuers: config.TRUSTED_ISSUERS.map(({ issuer, audience, jwksUrl }) => ({
      issuer,
      audience,
      keys: new URL(jwksUrl),
      algorithms: ["ES256", "RS256"],
    })),
  };
}
