import { execFile } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newSubgraph } from "./new-subgraph.ts";

const ROOT = `${import.meta.dirname}/..`;
const EDITED = ["supergraph.yaml", ".dependency-cruiser.cjs", "prisma/schema/schema.prisma", "tsconfig.json"];
const PACKAGES = ["packages/platform", "packages/testkit", "packages/launcher"];

/** A checkout as far as a new domain touches it, with the libraries of this one. */
function copyCheckout(): string {
  const copy = mkdtempSync(join(tmpdir(), "sba-new-subgraph-"));
  for (const path of EDITED) cpSync(join(ROOT, path), join(copy, path));
  cpSync(join(ROOT, "prisma/migrations"), join(copy, "prisma/migrations"), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  for (const path of PACKAGES) {
    cpSync(join(ROOT, path, "src"), join(copy, path, "src"), { recursive: true });
    cpSync(join(ROOT, path, "package.json"), join(copy, path, "package.json"));
    symlinkSync(join(ROOT, path, "node_modules"), join(copy, path, "node_modules"));
  }
  return copy;
}

/** The compiler's complaints about a folder of the copy; what is wrong elsewhere is the business of the types gate. */
async function typeErrors(copy: string, folder: string): Promise<string[]> {
  const own = Object.fromEntries(
    PACKAGES.map((path) => [`@sba/${path.split("/")[1] ?? ""}/*`, [`./${path}/src/*.ts`]]),
  );
  const config = {
    extends: "./tsconfig.json",
    compilerOptions: { paths: own, typeRoots: ["node_modules/@types"] },
    include: [folder],
    exclude: [],
  };
  writeFileSync(join(copy, "tsconfig.check.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const run = promisify(execFile)(process.execPath, [tsc, "--noEmit", "-p", "tsconfig.check.json"], { cwd: copy });
  const output = await run.then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { stdout: string }).stdout,
  );
  return output.split("\n").filter((line) => line.startsWith(`${folder}/`));
}

describe("a new subgraph", () => {
  let copy: string;
  let complaints: string[];
  beforeAll(async () => {
    copy = copyCheckout();
    mkdirSync(join(copy, "subgraphs"));
    newSubgraph(copy, { domain: "loyalty", noun: "gift-card" });
    symlinkSync(join(ROOT, "subgraphs/billing/node_modules"), join(copy, "subgraphs/loyalty/node_modules"));
    writeFileSync(join(copy, "subgraphs/loyalty/src/planted.ts"), "export const planted: string = 1;\n");
    complaints = await typeErrors(copy, "subgraphs/loyalty");
    // The compiler reads the platform and its libraries: some seconds on a busy machine.
  }, 60_000);
  afterAll(() => {
    rmSync(copy, { recursive: true, force: true });
  });

  const read = (path: string): string => readFileSync(join(copy, path), "utf8");

  it("has the folders and files of every other", () => {
    for (const file of [
      "README.md",
      "package.json",
      "src/index.ts",
      "src/schema.ts",
      "src/server.ts",
      "src/gift-card/gift-card.ts",
      "src/gift-card/gift-card.state.ts",
      "src/gift-card/gift-card.graphql.ts",
      "src/gift-card/gift-card.test.ts",
    ]) {
      expect(existsSync(join(copy, "subgraphs/loyalty", file)), file).toBe(true);
    }
    expect(read("prisma/schema/loyalty.prisma")).toContain('@@map("gift_card")');
  });

  it("type-checks as it was written", () => {
    // The one mistake that was planted is found, so the rest was looked at.
    expect(complaints).toEqual([expect.stringContaining("subgraphs/loyalty/src/planted.ts")]);
  });

  it("is entered wherever domains are listed", () => {
    expect(read("packages/platform/src/ids.ts")).toMatch(/ {2}GiftCard: "[a-z]{3}",\n\} as const/);
    expect(read("packages/platform/src/permissions.ts")).toContain('"loyalty:manage"');
    expect(read("prisma/schema/schema.prisma")).toContain(', "loyalty"]');
    expect(read(".dependency-cruiser.cjs")).toContain(', "loyalty"];');
    expect(read("supergraph.yaml")).toMatch(/ {2}loyalty:\n {4}routing_url: http:\/\/127\.0\.0\.1:\d+\/graphql/);
  });

  it("has its migration after all others", () => {
    const migrations = readdirSync(join(copy, "prisma/migrations"), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    const last =
      migrations
        .map(({ name }) => name)
        .toSorted()
        .at(-1) ?? "";
    expect(last).toMatch(/^\d{14}_loyalty$/);
    expect(read(`prisma/migrations/${last}/migration.sql`)).toContain(
      "CALL platform.protect_table('loyalty.gift_card');",
    );
  });

  it("is refused under a name that is taken, or none, and then nothing is written", () => {
    for (const names of [
      { domain: "loyalty", noun: "x" },
      { domain: "Loyalty", noun: "reward" },
      { domain: "", noun: "" },
      { domain: "a/b", noun: "reward" },
      { domain: "fresh", noun: "Reward" },
    ]) {
      const before = read("supergraph.yaml");
      expect(() => newSubgraph(copy, names), JSON.stringify(names)).toThrow();
      expect(read("supergraph.yaml")).toBe(before);
    }
  });
});
