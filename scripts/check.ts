import { spawn } from "node:child_process";

/**
 * Every gate, one after the other, whatever the one before said; ends with `N passed, N failed`.
 *
 *     npm run check               all but the tests
 *     npm run check -- --tests    the tests first, with coverage: what .ci/run does
 *     npm run check -- lint types only these
 */

interface Gate {
  readonly name: string;
  /** A command of a dependency, or a `.ts` file of ours, and its arguments. */
  readonly command: readonly [string, ...string[]];
}

const CRUISED = [
  "packages",
  "subgraphs",
  "gateway",
  "workers",
  "schema",
  "clients",
  "prisma",
  "scripts",
  "e2e",
  "bench",
  "start.ts",
];

const TESTS: Gate = { name: "tests and coverage", command: ["npm", "test", "--", "--coverage"] };
const GATES: readonly Gate[] = [
  { name: "format", command: ["prettier", "--check", "."] },
  { name: "lint", command: ["eslint", ".", "--max-warnings", "20"] },
  { name: "types", command: ["tsc", "--noEmit"] },
  { name: "imports", command: ["depcruise", ...CRUISED, "--config", ".dependency-cruiser.cjs"] },
  { name: "dead-code", command: ["knip"] },
  { name: "schema", command: ["schema/build.ts", "--check"] },
  { name: "codegen", command: ["graphql-codegen", "--config", "codegen.ts", "--check"] },
  { name: "docs", command: ["scripts/docs.ts", "--check"] },
  { name: "drift", command: ["scripts/drift.ts"] },
];

const root = `${import.meta.dirname}/..`;

function programOf([name, ...rest]: Gate["command"]): readonly [string, readonly string[]] {
  if (name.endsWith(".ts")) return [process.execPath, [`${root}/${name}`, ...rest]];
  return name === "npm" ? [name, rest] : [`${root}/node_modules/.bin/${name}`, rest];
}

/** Runs a gate with its output shown; true when it passed. */
async function passes({ command }: Gate): Promise<boolean> {
  const [program, args] = programOf(command);
  const child = spawn(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve) => {
    child.once("error", (error) => {
      console.error(error.message);
      resolve(false);
    });
    child.once("exit", (code) => {
      resolve(code === 0);
    });
  });
}

function selectGates(args: readonly string[]): readonly Gate[] {
  const names = args.filter((arg) => !arg.startsWith("--"));
  const unknown = names.filter((name) => !GATES.some((gate) => gate.name === name));
  if (unknown.length > 0)
    throw new Error(`there is no gate ${unknown.join(", ")}: ${GATES.map(({ name }) => name).join(" ")}`);
  const selected = names.length === 0 ? GATES : GATES.filter(({ name }) => names.includes(name));
  return args.includes("--tests") ? [TESTS, ...selected] : selected;
}

const results: { readonly name: string; readonly passed: boolean; readonly seconds: string }[] = [];
for (const gate of selectGates(process.argv.slice(2))) {
  console.log(`\n── ${gate.name}`);
  const startedAt = performance.now();
  const passed = await passes(gate);
  results.push({ name: gate.name, passed, seconds: ((performance.now() - startedAt) / 1000).toFixed(1) });
}

console.log("");
for (const { name, passed, seconds } of results)
  console.log(`${passed ? "passed" : "FAILED"}  ${seconds.padStart(6)} s  ${name}`);
const failed = results.filter(({ passed }) => !passed).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
