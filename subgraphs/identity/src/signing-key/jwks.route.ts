import type { Route } from "@sba/platform/server";
import { publishedKeys } from "./signing-key.ts";

/** The public keys of the local issuer (RFC 7517 section 5), for the gateway and whoever verifies our tokens. */
export const jwksRoute: Route = {
  method: "GET",
  path: "/.well-known/jwks.json",
  handle: async () => ({
    status: 200,
    headers: { "content-type": "application/jwk-set+json", "cache-control": "public, max-age=60" },
    body: JSON.stringify(await publishedKeys()),
  }),
};
