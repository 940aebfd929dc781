/** An access token or API key, or how to get one: asked before each request and before a socket's credentials end. */
export type Token = string | (() => string | undefined | Promise<string | undefined>);

export async function readToken(token: Token | undefined): Promise<string | undefined> {
  return typeof token === "function" ? token() : token;
}
