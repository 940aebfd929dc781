import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { z } from "zod";

/**
 * The documents that a client version was shipped with, one file each: the form of Apollo's persisted query manifests
 * (https://www.apollographql.com/docs/graphos/platform/security/persisted-queries), with whose they are.
 */

const manifestSchema = z.object({
  format: z.literal("apollo-persisted-query-manifest"),
  version: z.literal(1),
  client: z.object({ name: z.string().min(1), version: z.string().min(1) }),
  operations: z.array(
    z.object({
      id: z.string().regex(/^[0-9a-f]{64}$/),
      name: z.string(),
      type: z.enum(["query", "mutation", "subscription"]),
      body: z.string().min(1),
    }),
  ),
});

export interface Manifest {
  readonly client: string;
  readonly version: string;
  readonly operations: readonly { readonly id: string; readonly name: string; readonly body: string }[];
}

/** Reads every manifest of a folder; none when there is no such folder. @throws for one that is not what it should be */
export async function readManifests(folder: URL): Promise<readonly Manifest[]> {
  const names = await readdir(folder).catch(() => []);
  return Promise.all(
    names
      .filter((name) => name.endsWith(".json"))
      .map(async (name) => parseManifest(name, await readFile(new URL(name, folder), "utf8"))),
  );
}

function parseManifest(name: string, text: string): Manifest {
  const parsed = manifestSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new Error(`${name} is no manifest: ${z.prettifyError(parsed.error)}`);
  const { client, operations } = parsed.data;
  const wrong = operations.find(({ id, body }) => id !== documentId(body));
  if (wrong) throw new Error(`${name}: the id of ${wrong.name} is not the SHA-256 of its body`);
  return { client: client.name, version: client.version, operations };
}

/** The SHA-256 of a document's text, in hexadecimal, as Apollo's clients send it. */
export function documentId(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
