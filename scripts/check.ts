import { spawn } from "node:child_process";

/**
 * Every gate, one after the other, whatever the one before said; ends with `N passed, N failed`.
 *
 *     npm run check               all but the tests, the drills and the console in a browser
 *     npm run check -- --tests    first the tests with coverage, all trials of the races, the drills and the console: what .ci/run does
 *     npm run check -- lint types only these
 */

interface Gate {
  readonly name: string;
  /** A command of a dependency, or a `.ts` file of ours, and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** Added to the environment. */
  readonly env?: NodeJS.ProcessEnv;
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
/** `npm test` tries them less often. */
const RACES: Gate = { name: "races", command: ["npm", "test", "--", "races"], env: { RACES: "all" } };
const DRILLS: Gate = { name: "drills", command: ["bench/drills/main.ts", "--short"] };
const CONSOLE: Gate = { name: "console", command: ["npm", "run", "browser"] };
const GATES: readonly Gate[] = [
  { name: "format", command: ["prettier", "--check", "."] },
  { name: "lint", command: ["eslint", ".", "--max-warnings", "20"] },
  { name: "types", command: ["tsc", "--noEmit"] },
  { name: "imports", command: ["depcruise", ...CRUISED, "--config", ".dependency-cruiser.cjs"] },
  { name: "dead-code", command: ["knip"] },
  { name: "schema", command: ["schema/build.ts", "--check"] },
  { name: "codegen", command: ["graphql-codegen", "--config", "codegen.ts", "--check"] },
  { name: "client-version", command: ["scripts/client-version.ts", "--check"] },
  { name: "manifest", command: ["schema/manifest.ts", "--check"] },
  { name: "docs", command: ["scripts/docs.ts", "--check"] },
  { name: "drift", command: ["scripts/drift.ts"] },
];

const root = `${import.meta.dirname}/..`;

function programOf([name, ...rest]: Gate["command"]): readonly [string, readonly string[]] {
  if (name.endsWith(".ts")) return [process.execPath, [`${root}/${name}`, ...rest]];
  return name === "npm" ? [name, rest] : [`${root}/node_modules/.bin/${name}`, rest];
}

/** How many lines of a failed gate are said again at the end: what keeps only the end of a log still shows why. */
const WHY_LINES = 16;
/** What colours a terminal's text. */
const COLOURS = /\u001b\[[\d;]*m/g;
const SAYS_WHY = /^\s*(FAIL|×|ERROR|[A-Za-z]*Error:|Unhandled|error TS|✖|error )|\berror\b .*\S/;

/** The lines of a failed gate's output that say why, or its last ones. */
function whyOf(output: string): readonly string[] {
  const lines = output.replaceAll(COLOURS, "").split("\n");
  const saying = [...new Set(lines.filter((line) => SAYS_WHY.test(line) && !line.startsWith("{")))];
  return saying.length > 0 ? saying.slice(0, WHY_LINES) : lines.filter((line) => line.trim() !== "").slice(-WHY_LINES);
}

/** Runs a gate with its output shown; undefined when it passed, else why it failed. */
async function runGate({ command, env }: Gate): Promise<readonly string[] | undefined> {
  const [program, args] = programOf(command);
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: Buffer[] = [];
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const)
    from.on("data", (chunk: Buffer) => {
      output.push(chunk);
      to.write(chunk);
    });
  return new Promise((resolve) => {
    child.once("error", (error) => {
      resolve([error.message]);
    });
    const end = (code: number | null): void => {
      resolve(code === 0 ? undefined : whyOf(Buffer.concat(output).toString()));
      child.stdout.destroy();
      child.stderr.destroy();
    };
    child.once("close", end);
    // Something that outlives the gate may hold its output open: what has been said by then is enough.
    child.once("exit", (code) => setTimeout(end, 5_000, code).unref());
  });
}

function selectGates(args: readonly string[]): readonly Gate[] {
  const names = args.filter((arg) => !arg.startsWith("--"));
  const unknown = names.filter((name) => !GATES.some((gate) => gate.name === name));
  if (unknown.length > 0)
    throw new Error(`there is no gate ${unknown.join(", ")}: ${GATES.map(({ name }) => name).join(" ")}`);
  const selected = names.length === 0 ? GATES : GATES.filter(({ name }) => names.includes(name));
  return args.includes("--tests") ? [TESTS, RACES, DRILLS, CONSOLE, ...selected] : selected;
}

const results: { readonly name: string; readonly seconds: string; readonly why: readonly string[] | undefined }[] = [];
for (const gate of selectGates(process.argv.slice(2))) {
  console.log(`\n── ${gate.name}`);
  const startedAt = performance.now();
  const why = await runGate(gate);
  results.push({ name: gate.name, why, seconds: ((performance.now() - startedAt) / 1000).toFixed(1) });
}

for (const { name, why } of results) if (why !== undefined) console.log(`\n── why ${name} failed\n${why.join("\n")}`);
console.log("");
for (const { name, why, seconds } of results)
  console.log(`${why === undefined ? "passed" : "FAILED"}  ${seconds.padStart(6)} s  ${name}`);
const failed = results.filter(({ why }) => why !== undefined).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
