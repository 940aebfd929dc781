#!/usr/bin/env node
// Runs an entry of this project on a fresh clone with nothing but Node 20 and npm: `node scripts/run.mjs start.ts`.
// Installs and generates what is missing, then starts the entry (a .ts file, or a command of a dependency) on the Node 24
// that came with the dependencies. The only plain JavaScript here, because Node 20 cannot run TypeScript.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PNPM = "pnpm@12.21.0";
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stampFile = join(root, "node_modules/.sba-setup.json");
const generatedClient = join(root, "packages/platform/src/generated/prisma/client.ts");
/** npm and the terminal both deliver Ctrl-C; the second within this time is the same one. */
const SAME_SIGNAL_MS = 500;
const LOOK_FOR_PARENT_MS = 250;

const [entry, ...args] = process.argv.slice(2);
if (entry === undefined) fail("usage: node scripts/run.mjs <file.ts | command | --setup-only> [arguments]");
if (Number(process.versions.node.split(".")[0]) < 20) fail(`Node 20 or newer is needed; this is ${process.version}.`);

await setUp();
// What does not serve it has no use for it, and a change of it must not keep tests waiting.
if (entry === "start.ts" || entry === "--setup-only") await buildConsole();
if (entry !== "--setup-only") process.exitCode = await start(entry, args);

async function setUp() {
  const stamp = readStamp();
  const lock = hashFiles(
    [join(root, "pnpm-lock.yaml"), join(root, "pnpm-workspace.yaml")],
    `${process.platform}-${process.arch}`,
  );
  if (stamp.lock !== lock) {
    say(
      existsSync(stampFile)
        ? "The dependencies have changed: installing"
        : "Installing dependencies (the first time: about a minute)",
    );
    await mustRun(
      "npx",
      ["-y", PNPM, "install", "--frozen-lockfile", "--config.confirm-modules-purge=false"],
      {},
      "The dependencies could not be installed",
    );
    writeStamp({ lock, console: stamp.console });
  }
  const schemaFolder = join(root, "prisma/schema");
  const schema = hashFiles(
    readdirSync(schemaFolder)
      .sort()
      .map((name) => join(schemaFolder, name)),
    lock,
  );
  if (stamp.schema !== schema || !existsSync(generatedClient)) {
    say("Generating the database client");
    await mustRun(
      findNode(),
      ["node_modules/prisma/build/index.js", "generate"],
      { quiet: true },
      "The database client could not be generated",
    );
    writeStamp({ ...readStamp(), lock, schema });
  }
}

/** Builds the console anew when something that it is made of has changed. */
async function buildConsole() {
  const console = join(root, "clients/console");
  const sources = ["clients/console", "clients/typescript/src"].flatMap((folder) => filesIn(join(root, folder)));
  const built = hashFiles([join(root, "pnpm-lock.yaml"), ...sources.sort()], "console");
  if (readStamp().console === built && existsSync(join(console, "dist/index.html"))) return;
  say("Building the console");
  await mustRun(findNode(), [join(console, "build/build.ts")], { quiet: true }, "The console could not be built");
  writeStamp({ ...readStamp(), console: built });
}

/** Its sources: nothing that is installed, built, or only tests. */
function filesIn(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (["node_modules", "dist"].includes(entry.name) || entry.name.endsWith(".md")) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesIn(path) : entry.name.includes(".test.") ? [] : [path];
  });
}

/** Starts the entry and gives its exit code. */
async function start(name, rest) {
  const command = name.endsWith(".ts")
    ? [findNode(), "--disable-warning=ExperimentalWarning", ...environmentFile(), join(root, name)]
    : [findCommand(name)];
  // In a session of its own the terminal's signals do not reach it: it gets each once, from here. The channel tells it
  // when this process dies without a word.
  const child = spawn(command[0], [...command.slice(1), ...rest], {
    cwd: root,
    env: {
      ...childEnvironment(),
      // A process of ours loads some thousand modules: compiling them anew was a quarter of its start.
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, "node_modules/.cache/compile"),
    },
    detached: true,
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  child.channel?.unref();
  forwardSignals(child);
  endWithNpm(child);
  return exitOf(child, `${name} could not be started`);
}

function environmentFile() {
  return existsSync(join(root, ".env")) ? ["--env-file=.env"] : [];
}

function forwardSignals(child) {
  const lastAt = {};
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      const now = Date.now();
      if (now - (lastAt[signal] ?? 0) > SAME_SIGNAL_MS) child.kill(signal);
      lastAt[signal] = now;
    });
  }
}

/** A killed npm forwards nothing: what it ran would be left behind, and hold the data folder of the next start. */
function endWithNpm(child) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const npm = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === npm) return;
    clearInterval(timer);
    child.kill("SIGTERM");
  }, LOOK_FOR_PARENT_MS);
  timer.unref();
}

function exitOf(child, failure) {
  return new Promise((resolve) => {
    child.once("error", (error) => fail(`${failure}: ${error.message}`));
    child.once("exit", (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0)));
  });
}

/** Runs a step of the set-up; with `quiet` its output is shown only when it fails. */
async function mustRun(command, commandArgs, { quiet = false }, failure) {
  const child = spawn(command, commandArgs, {
    cwd: root,
    env: childEnvironment(),
    shell: process.platform === "win32",
    stdio: ["ignore", quiet ? "pipe" : "inherit", quiet ? "pipe" : "inherit"],
  });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => output.push(chunk));
  const code = await exitOf(child, failure);
  if (code !== 0) fail(`${Buffer.concat(output)}\n${failure} (exit code ${code}).`);
}

/** Node 24: the package of this platform, or the Node that runs this if it is new enough. */
function findNode() {
  const names = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
  const found = names.map((name) => join(root, "node_modules", name, "bin/node")).find((path) => existsSync(path));
  if (found) return found;
  if (Number(process.versions.node.split(".")[0]) >= 24) return process.execPath;
  return fail(`npm has no Node 24 for ${process.platform}-${process.arch}: install Node 24 and start again with it.`);
}

function findCommand(name) {
  const path = join(root, "node_modules/.bin", name);
  return existsSync(path) ? path : fail(`There is no command ${name} among the dependencies.`);
}

function childEnvironment() {
  const nodes = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
  const bins = nodes.map((name) => join(root, "node_modules", name, "bin")).filter((path) => existsSync(path));
  return {
    ...process.env,
    PATH: [...bins, process.env.PATH].join(delimiter),
    APOLLO_TELEMETRY_DISABLED: "true",
    CHECKPOINT_DISABLE: "1",
    PRISMA_HIDE_UPDATE_MESSAGE: "1",
    // Without it the CLI downloads a native engine, also for commands that need none.
    PRISMA_SCHEMA_ENGINE_BINARY: join(root, "scripts/schema-engine.ts"),
  };
}

function hashFiles(paths, salt) {
  const hash = createHash("sha256").update(salt);
  for (const path of paths) hash.update(readFileSync(path));
  return hash.digest("hex");
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"));
  } catch {
    return {};
  }
}

function writeStamp(stamp) {
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, JSON.stringify(stamp));
}

function say(message) {
  process.stderr.write(`${message} ...\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
