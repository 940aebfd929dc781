/** An access token or API key, or how to get one: asked before each request and before a socket's credentials end. */
export type Token = string | (() => string | undefined | Promise<string | undefined>);

export async function readToken(token: Token | undefined): Promise<string | undefined> {
  return typeof token === "function" ? token() : token;
}

/** `Bearer ...`, or nothing without credentials. */
async function authorizationOf(token: Token | undefined): Promise<{ authorization?: string }> {
  const credentials = await readToken(token);
  return credentials === undefined ? {} : { authorization: `Bearer ${credentials}` };
}

/** Which client asks: the API counts by it, and knows the documents that it was released with. */
export interface ClientName {
  readonly name: string;
  readonly version: string;
}

/** What a request or a connection begins with: who asks, and with which client. */
export interface Introduction {
  readonly token: Token | undefined;
  readonly client: ClientName;
}

/** As headers, or as the payload of `connection_init`. */
export async function introduce({ token, client }: Introduction): Promise<Record<string, string>> {
  return {
    ...(await authorizationOf(token)),
    "apollographql-client-name": client.name,
    "apollographql-client-version": client.version,
  };
}

/**
 * Whose credentials these are, in a form that may be stored: tabs share a socket, and mutations wait for one another, only
 * among those of one principal in one tenant. A token is not verified here, which is the API's to do; of a key there is a hash.
 */
export function identityOf(credentials: string | undefined): Promise<string> {
  if (credentials === undefined) return Promise.resolve("nobody");
  if (last?.credentials !== credentials) last = { credentials, identity: digestOf(credentials) };
  return last.identity;
}

/** Asked again and again of the same, and each time a thread of its own would work it out. */
let last: { readonly credentials: string; readonly identity: Promise<string> } | undefined;

async function digestOf(credentials: string): Promise<string> {
  const claims = claimsOf(credentials);
  const [subject, tenant] = [claims["sub"], claims["tid"]];
  const text = typeof subject === "string" && typeof tenant === "string" ? `${tenant}/${subject}` : credentials;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest).subarray(0, 12)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)) as Record<string, unknown>;
  } catch {
    return {};
  }
}
