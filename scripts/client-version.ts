import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The client's version says which API it is for: `1.2.3+supergraph.<hash>`. The number before it is given by hand.
 *
 *     node scripts/client-version.ts            writes it
 *     node scripts/client-version.ts --check    fails when it is another
 */

const root = join(import.meta.dirname, "..");
const manifestFile = join(root, "clients/typescript/package.json");
/** Enough to tell one supergraph from another. */
const HASH_CHARACTERS = 12;

const hash = createHash("sha256")
  .update(readFileSync(join(root, "schema/supergraph.graphql")))
  .digest("hex");
const manifest = readFileSync(manifestFile, "utf8");
const found = (JSON.parse(manifest) as { version: string }).version;
const wanted = `${found.split("+")[0] ?? ""}+supergraph.${hash.slice(0, HASH_CHARACTERS)}`;

if (found === wanted) console.log(`client-version: ${found}`);
else if (process.argv.includes("--check")) {
  console.error(`client-version: clients/typescript has ${found}, and not ${wanted}: npm run codegen`);
  process.exitCode = 1;
} else {
  writeFileSync(manifestFile, manifest.replace(`"version": "${found}"`, `"version": "${wanted}"`));
  console.log(`client-version: ${wanted}`);
}
