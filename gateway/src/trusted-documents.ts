import type { GraphQLError } from "graphql";
import { LRUCache } from "lru-cache";
import { errors, persistedQueryNotFound, toShownError } from "./errors.ts";
import { documentId, type Manifest } from "./manifests.ts";
import type { Client } from "./metrics.ts";

/**
 * Documents by their hash. Those of the manifests that clients were shipped with are trusted; where only they are, any other is
 * refused. Elsewhere a client may leave a text here under its hash and send only that from then on (Apollo's automatic
 * persisted queries).
 */

export interface TrustedDocumentsOptions {
  readonly manifests: readonly Manifest[];
  /** Refuses what is in no manifest. */
  readonly only: boolean;
}

/** A request as it came: with a text, a hash, or both. */
export interface Sent {
  readonly query?: unknown;
  /** Of the GraphQL-over-HTTP proposal: `sha256:<hex>`. */
  readonly documentId?: unknown;
  readonly extensions?: unknown;
}

export interface TrustedDocuments {
  /** The text to run; undefined when nothing was sent that could be one, which is for whoever reads requests to say. */
  readonly textOf: (sent: Sent, client: Client | undefined) => string | undefined | GraphQLError;
}

const MAX_KNOWN_TEXT = 16 * 1024 * 1024;
const MAX_TEXT = 64 * 1024;

export function openTrustedDocuments({ manifests, only }: TrustedDocumentsOptions): TrustedDocuments {
  const byClient = new Map<string, Map<string, string>>();
  const all = new Map<string, string>();
  for (const { client, version, operations } of manifests) {
    const documents = new Map(operations.map(({ id, body }) => [id, body]));
    byClient.set(`${client} ${version}`, documents);
    for (const [id, body] of documents) all.set(id, body);
  }
  const left = new LRUCache<string, string>({ maxSize: MAX_KNOWN_TEXT, sizeCalculation: (text) => text.length });
  /** A version that is registered may send its own documents, and one that is not, any that are. */
  const trustedBy = (client: Client | undefined): ReadonlyMap<string, string> =>
    (client && byClient.get(`${client.name} ${client.version.split("+", 1)[0] ?? ""}`)) ?? all;
  return {
    textOf: (sent, client) => {
      const hash = hashIn(sent);
      const text = typeof sent.query === "string" && sent.query !== "" ? sent.query : undefined;
      if (text === undefined && hash === undefined) return undefined;
      if (text !== undefined && hash !== undefined && documentId(text) !== hash)
        return toShownError(errors.DOCUMENT_HASH_WRONG());
      const id = only ? (hash ?? documentId(text ?? "")) : hash;
      if (id === undefined) return text;
      const trusted = trustedBy(client).get(id);
      if (trusted !== undefined) return trusted;
      if (only) return toShownError(errors.DOCUMENT_NOT_TRUSTED({ details: { documentId: id } }));
      if (text === undefined) return left.get(id) ?? persistedQueryNotFound();
      if (text.length <= MAX_TEXT) left.set(id, text);
      return text;
    },
  };
}

const HASH = /^[0-9a-f]{64}$/;

function hashIn({ documentId: id, extensions }: Sent): string | undefined {
  const given = typeof id === "string" ? id.replace(/^sha256:/, "") : persistedHash(extensions);
  return given !== undefined && HASH.test(given) ? given : undefined;
}

function persistedHash(extensions: unknown): string | undefined {
  if (typeof extensions !== "object" || extensions === null || !("persistedQuery" in extensions)) return undefined;
  const { persistedQuery } = extensions;
  if (typeof persistedQuery !== "object" || persistedQuery === null || !("sha256Hash" in persistedQuery))
    return undefined;
  return typeof persistedQuery.sha256Hash === "string" ? persistedQuery.sha256Hash : undefined;
}
