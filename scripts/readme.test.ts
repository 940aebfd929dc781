import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test("what the README's example imports is found from where a newcomer puts it", () => {
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const packages = [...readme.matchAll(/^import .* from "(.+)";$/gm)].map(([, name = ""]) => name);
  expect(packages).toEqual(["@sba/client"]);
  for (const name of packages)
    expect(fileURLToPath(import.meta.resolve(name))).toContain(join("clients", "typescript"));
});
