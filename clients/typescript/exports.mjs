// In the workspace the sources are what is imported; in the package that others install they are not. pnpm puts `publishConfig.exports` in the
// place of `exports` when it packs, npm does not: `node exports.mjs published` before, `node exports.mjs sources` after.
import { readFileSync, writeFileSync } from "node:fs";

const file = new URL("package.json", import.meta.url);
const manifest = JSON.parse(readFileSync(file, "utf8"));
const published = manifest.publishConfig.exports;
const sourceOf = ({ default: path }) => path.replace("/dist/", "/src/").replace(/\.js$/, ".ts");
const sources = Object.fromEntries(Object.entries(published).map(([name, paths]) => [name, sourceOf(paths)]));
manifest.exports = process.argv[2] === "published" ? published : sources;
writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
