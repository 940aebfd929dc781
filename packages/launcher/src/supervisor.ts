import { join, resolve } from "node:path";
import type { Config } from "@sba/platform/config";
import { DataFolderInUse, takeDataFolder, type DataFolder } from "./data-folder.ts";
import { demonstrate, seed } from "./demonstration.ts";
import type { DemoTenant, ServerAddresses } from "./messages.ts";
import { parseOptions, type StartOptions } from "./options.ts";
import { migrate } from "./migration.ts";
import { EMBEDDED_SETTINGS, keepCluster, type Cluster } from "./postgres.ts";
import { findProblems, readEnvironment } from "./preflight.ts";
import { startProcesses } from "./processes.ts";
import { say, step } from "./progress.ts";
import { deleteReadyFile, writeReadyFile } from "./ready-file.ts";
import { keepSecretKey } from "./secret-key.ts";
import { openTeardown, StartStopped, type Teardown } from "./teardown.ts";

/**
 * The whole system on one machine: embedded Postgres, one server process, one worker process. This process does no work of
 * its own: it starts, watches, restarts and ends.
 */

/** Why a start was refused, in sentences for the person who started it. */
class StartRefused extends Error {
  override readonly name = "StartRefused";
}

/** Runs the system until it is told to stop; the process then ends with 0, or with 1 when it could not start. */
export async function supervise(argv: readonly string[]): Promise<void> {
  const teardown = openTeardown();
  // Whoever read what is said here may be gone: what runs is ended all the same.
  for (const output of [process.stdout, process.stderr]) output.on("error", () => undefined);
  onStopRequest(() => {
    void stopSystem(teardown, 0);
  });
  try {
    await startSystem(teardown, argv);
  } catch (error) {
    // What is ended while it starts fails somehow; that is no news.
    if (teardown.stopping) return;
    process.stderr.write(`${messageOf(error)}\n`);
    await stopSystem(teardown, 1);
  }
}

function onStopRequest(stop: () => void): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  // scripts/run.mjs, which started this process, was killed.
  process.on("disconnect", stop);
}

/** However often it is asked: once. */
async function stopSystem(teardown: Teardown, exitCode: number): Promise<void> {
  if (teardown.stopping) return;
  if (exitCode === 0) say("\nStopping ...");
  await teardown.stop();
  if (exitCode === 0) say("Stopped.");
  process.exit(exitCode);
}

async function startSystem(teardown: Teardown, argv: readonly string[]): Promise<void> {
  const { config, folder, options } = await checkStart(teardown, argv);
  const readyFile = join(folder.path, "ready.json");
  const readyFiles = [readyFile, ...(options.readyFile === undefined ? [] : [options.readyFile])];
  const deleteReadyFiles = (): void => {
    readyFiles.forEach(deleteReadyFile);
  };
  deleteReadyFiles();
  teardown.onStopping(deleteReadyFiles);
  const env = await prepareServices(teardown, config, folder);
  const processes = await startProcesses(teardown, folder, env);
  const seeded = config.NODE_ENV === "production" ? undefined : seed(teardown, folder, env);
  const server = await step("Starting the server and the worker", () => processes.ready());
  const tenants = (await seeded?.()) ?? [];
  const publish = (): void => {
    for (const path of readyFiles) writeReadyFile(path, { ...server, pids: processes.pids(), tenants });
  };
  await teardown.hold(publish);
  processes.onChange(publish);
  if (tenants.length > 0) await demonstrate(teardown, { folder, env, options, readyFile });
  if (!teardown.stopping) sayWhereToGo(server, tenants, folder);
}

interface CheckedStart {
  readonly config: Config;
  readonly folder: DataFolder;
  readonly options: StartOptions;
}

/** @throws StartRefused naming every problem. */
async function checkStart(teardown: Teardown, argv: readonly string[]): Promise<CheckedStart> {
  const { config, problems } = readEnvironment(process.env);
  const found = [...problems];
  const options = tryParse(argv, found);
  const folder = await tryTake(teardown, resolve(config.DATA_DIR), found);
  // While another start has the folder it also has the port, and saying both would hide which of them matters.
  if (folder) found.push(...(await findProblems(config)));
  if (folder && options && found.length === 0) return { config, folder, options };
  throw new StartRefused(`The system cannot start:\n${found.map((problem) => `  - ${problem}`).join("\n")}`);
}

function tryParse(argv: readonly string[], problems: string[]): StartOptions | undefined {
  try {
    return parseOptions(argv);
  } catch (error) {
    problems.push(messageOf(error));
    return undefined;
  }
}

async function tryTake(teardown: Teardown, path: string, problems: string[]): Promise<DataFolder | undefined> {
  try {
    const folder = await teardown.hold(
      () => takeDataFolder(path),
      (taken) => {
        taken.release();
      },
    );
    teardown.onStopping(() => {
      folder.leave();
    });
    return folder;
  } catch (error) {
    if (error instanceof StartStopped) throw error;
    problems.push(
      error instanceof DataFolderInUse ? error.message : `DATA_DIR: ${path} cannot be used: ${messageOf(error)}`,
    );
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Brings the database up and returns the environment that the processes share. */
async function prepareServices(teardown: Teardown, config: Config, folder: DataFolder): Promise<NodeJS.ProcessEnv> {
  const isEmbedded = config.DATABASE_URL === undefined && config.DATABASE_ADMIN_URL === undefined;
  const cluster = isEmbedded ? await startEmbedded(teardown, folder) : undefined;
  const env = {
    ...process.env,
    DATA_DIR: folder.path,
    SECRET_KEY: config.SECRET_KEY ?? keepSecretKey(folder.path),
    DATABASE_ADMIN_URL: cluster?.url("postgres") ?? config.DATABASE_ADMIN_URL,
  };
  const urls = await migrate(teardown, folder, env);
  // The owner's URL stays here: what serves has no use for it.
  return { ...env, DATABASE_URL: urls.app, DATABASE_SYSTEM_URL: urls.system, DATABASE_ADMIN_URL: undefined };
}

async function startEmbedded(teardown: Teardown, folder: DataFolder): Promise<Cluster> {
  const logFile = join(folder.path, "postgres.log");
  const start = (): Promise<Cluster> =>
    keepCluster(
      {
        directory: join(folder.path, "postgres"),
        // Of the folder and not of SECRET_KEY, which may be given at one start and not at the next.
        password: keepSecretKey(folder.path),
        settings: EMBEDDED_SETTINGS,
        logFile,
      },
      {
        onDied: () => {
          say(`Postgres died and is started again; its log is ${logFile}.`);
        },
        onBack: () => {
          say("Postgres is back.");
        },
      },
    );
  const cluster = await step("Starting the embedded Postgres", () => teardown.hold(start, (running) => running.stop()));
  if (cluster.adopted) say("  it was still running, and is taken over");
  return cluster;
}

function sayWhereToGo(server: ServerAddresses, tenants: readonly DemoTenant[], folder: DataFolder): void {
  const isDemo = tenants.length > 0;
  const people = tenants[0]?.people;
  const names = tenants.map(({ name }) => name).join(" and ");
  say(
    [
      "",
      "Ready.",
      ...(server.consoleUrl === null ? [] : [`  Console               ${server.consoleUrl}`]),
      ...(server.consoleUrl === null || people === undefined
        ? []
        : [
            `    sign in as          ${people.owner}, ${people.operator} or ${people.viewer}`,
            `    password            ${people.password}`,
          ]),
      `  ${isDemo ? "GraphQL and Sandbox  " : "GraphQL              "} ${server.graphqlUrl}`,
      `  Subscriptions         ${server.subscriptionsUrl}`,
      ...(isDemo ? [`  Tokens to try it with ${join(folder.path, "ready.json")} (tenants ${names})`] : []),
      `  Logs                  ${join(folder.path, "server.log")}, ${join(folder.path, "worker.log")}`,
      "Ctrl-C stops everything.",
    ].join("\n"),
  );
}
