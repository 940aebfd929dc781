/** Whose pages may call from a browser: our own, and those of the list. Who sends no Origin is no browser. */

export interface OriginOptions {
  readonly allowedOrigins?: readonly string[];
  readonly development: boolean;
}

/** @param host of the request, by which our own pages are known */
export type IsAllowedOrigin = (origin: string | undefined, host: string | undefined) => boolean;

/** Apollo Studio's Sandbox outside the embedded page. */
const DEVELOPMENT_ORIGINS = ["https://studio.apollographql.com"];

export function allowOrigins({ allowedOrigins = [], development }: OriginOptions): IsAllowedOrigin {
  const allowed = new Set([...allowedOrigins, ...(development ? DEVELOPMENT_ORIGINS : [])]);
  return (origin, host) =>
    origin === undefined || allowed.has(origin) || (URL.canParse(origin) && new URL(origin).host === host);
}
