import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";

/**
 * The console as it was built: `index.html` for each of its routes, and the files that it is made of. The folder says itself
 * which routes are its own (`routes.json`), so that a wrong path of the API stays a typed 404.
 */

export interface ConsoleFiles {
  /** First segments of its paths: `ask` is `/ask` and everything below. */
  readonly routes: readonly string[];
  /** What it shows is decided by the path that the browser is at. */
  readonly sendPage: (reply: FastifyReply) => FastifyReply;
  /** By path, without the leading slash. */
  readonly files: ReadonlyMap<string, ConsoleFile>;
}

interface ConsoleFile {
  readonly path: string;
  readonly type: string;
  readonly etag: string;
  /** Which compressed forms lie beside it, the smallest first. */
  readonly encodings: readonly (keyof typeof SUFFIXES)[];
}

/** What the build writes where a nonce, or `development`, has to stand. */
const NONCE = /SBA_NONCE/g;
const MODE = "SBA_MODE";
const SUFFIXES = { br: ".br", gzip: ".gz" } as const;
const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".json": "application/json",
  ".txt": "text/plain; charset=utf-8",
};
/** Files whose names change with what is in them. */
const HASHED = "assets/";
const NOT_SERVED: ReadonlySet<string> = new Set(["index.html", "routes.json"]);
const routesSchema = z.array(z.string().regex(/^[a-z][a-z-]*$/));

/** Reads what the console's build wrote; undefined when it was not built. @throws when the folder is not a whole build. */
export async function openConsole(
  directory: string,
  { development }: { readonly development: boolean },
): Promise<ConsoleFiles | undefined> {
  const names = await namesIn(directory);
  if (!names.has("index.html")) return undefined;
  const served = [...names].filter((name) => !NOT_SERVED.has(name) && !isCompressed(name));
  const files = await Promise.all(served.map(async (name) => [name, await describe(directory, name, names)] as const));
  return {
    sendPage: pageSender(await readFile(join(directory, "index.html"), "utf8"), development),
    routes: routesSchema.parse(JSON.parse(await readFile(join(directory, "routes.json"), "utf8"))),
    files: new Map(files),
  };
}

async function namesIn(directory: string): Promise<ReadonlySet<string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  });
  const toName = (parent: string, name: string) => relative(directory, join(parent, name)).split(sep).join("/");
  return new Set(entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => toName(parentPath, name)));
}

function isCompressed(name: string): boolean {
  return Object.values(SUFFIXES).some((suffix) => name.endsWith(suffix));
}

async function describe(directory: string, name: string, names: ReadonlySet<string>): Promise<ConsoleFile> {
  const path = join(directory, name);
  const digest = createHash("sha256")
    .update(await readFile(path))
    .digest("base64url");
  return {
    path,
    type: TYPES[extname(name)] ?? "application/octet-stream",
    etag: digest.slice(0, 22),
    encodings: (["br", "gzip"] as const).filter((encoding) => names.has(`${name}${SUFFIXES[encoding]}`)),
  };
}

/** Scripts and styles of its own only; `nonce` is for the style elements that its components write. */
function contentSecurityPolicy(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "font-src 'self'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "frame-src 'self' blob:",
    "manifest-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function pageSender(index: string, development: boolean): ConsoleFiles["sendPage"] {
  const page = index.replace(MODE, development ? "development" : "production");
  return (reply) => {
    const nonce = randomBytes(16).toString("base64");
    return reply
      .headers({ "content-security-policy": contentSecurityPolicy(nonce), "cache-control": "no-cache" })
      .type("text/html; charset=utf-8")
      .send(page.replaceAll(NONCE, nonce));
  };
}

export function mountConsole(app: FastifyInstance, { routes, files, sendPage }: ConsoleFiles): void {
  for (const path of ["/", ...routes.flatMap((route) => [`/${route}`, `/${route}/*`])])
    app.get(path, (_request, reply) => sendPage(reply));
  for (const [name, file] of files) app.get(`/${name}`, (request, reply) => sendFile(request, reply, name, file));
}

async function sendFile(
  { headers }: FastifyRequest,
  reply: FastifyReply,
  name: string,
  { path, type, etag, encodings }: ConsoleFile,
): Promise<FastifyReply> {
  const accepted = (headers["accept-encoding"] ?? "").split(",").map((each) => each.split(";", 1)[0]?.trim());
  const encoding = encodings.find((each) => accepted.includes(each));
  // Of each form its own: a cache must not take the one for the other.
  const tag = `"${etag}${encoding === undefined ? "" : `-${encoding}`}"`;
  void reply.headers({
    etag: tag,
    vary: "accept-encoding",
    "cache-control": name.startsWith(HASHED) ? "public, max-age=31536000, immutable" : "no-cache",
  });
  if (headers["if-none-match"]?.split(",").some((each) => each.trim().replace(/^W\//, "") === tag))
    return reply.code(304).send();
  if (encoding !== undefined) void reply.header("content-encoding", encoding);
  return reply.type(type).send(await readFile(encoding === undefined ? path : `${path}${SUFFIXES[encoding]}`));
}
