#!/usr/bin/env node
/**
 * Prisma's schema engine for the official CLI, without the native binary that the CLI would download: the same arguments
 * and the same JSON-RPC on standard input and output, on the engine's WebAssembly build from npm. The CLI finds it by
 * PRISMA_SCHEMA_ENGINE_BINARY; `scripts/run.mjs` sets that.
 * The protocol: https://github.com/prisma/prisma-engines/tree/main/schema-engine/json-rpc-api
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { bindMigrationAwareSqlAdapterFactory } from "@prisma/driver-adapter-utils";
import type {
  CreateMigrationInput,
  DiffParams,
  DiffTarget,
  SchemaContainer,
  SchemaEngine,
} from "@prisma/schema-engine-wasm/schema_engine_bg";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";
import { z } from "zod";
import { createDatabase, dropDatabase, openAdapter, openShadowAdapter, ping } from "./schema-engine-adapter.ts";

/** https://www.jsonrpc.org/specification#error_object; the number is the one that the native engine answers with. */
const ENGINE_FAILED = 4466;
const datasourceSchema = z.object({ url: z.string().optional() });
const requestSchema = z.object({ id: z.number(), method: z.string(), params: z.unknown() });

const argv = process.argv.slice(2);
const databaseUrl = datasourceSchema.parse(JSON.parse(valueOf("--datasource") ?? "{}")).url ?? "";

function valueOf(flag: string): string | undefined {
  const index = argv.indexOf(flag);
  return index < 0 ? undefined : argv[index + 1];
}

/** The schema files that follow `--datamodels`. */
function datamodels(): [string, string][] {
  const start = argv.indexOf("--datamodels");
  if (start < 0) return [];
  const rest = argv.slice(start + 1);
  const end = rest.findIndex((argument) => argument.startsWith("-") || argument === "cli");
  return rest.slice(0, end < 0 ? rest.length : end).map((path) => [path, readFileSync(path, "utf8")]);
}

/** `schema-engine cli <command>`: what the CLI asks before and beside the protocol. */
async function runCommand(command: string | undefined): Promise<void> {
  if (command === "can-connect-to-database") await ping(databaseUrl);
  else if (command === "create-database") await createDatabase(databaseUrl);
  else if (command === "drop-database") await dropDatabase(databaseUrl);
  else throw new Error(`schema engine: unknown command ${command ?? ""}`);
}

/** The CLI reads failures as log lines: https://www.prisma.io/docs/orm/reference/error-reference (P1001 unreachable, P1003 absent). */
function reportFailure(error: unknown): void {
  const absent = error instanceof Error && "code" in error && error.code === "3D000";
  const fields = { message: messageOf(error), is_panic: false, error_code: absent ? "P1003" : "P1001", meta: {} };
  process.stderr.write(
    `${JSON.stringify({ timestamp: new Date().toISOString(), level: "ERROR", fields, target: "" })}\n`,
  );
  process.exitCode = 1;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function loadEngine(files: readonly SchemaContainer[] | undefined): Promise<SchemaEngine> {
  const folder = dirname(createRequire(import.meta.url).resolve("@prisma/schema-engine-wasm"));
  const binary = new Uint8Array(readFileSync(join(folder, "schema_engine_bg.wasm")));
  const { instance } = await WebAssembly.instantiate(binary, { "./schema_engine_bg.js": bindings });
  bindings.__wbg_set_wasm(instance.exports);
  const start = instance.exports["__wbindgen_start"];
  if (typeof start === "function") Reflect.apply(start, undefined, []);
  const adapter = bindMigrationAwareSqlAdapterFactory({
    provider: "postgres",
    adapterName: "@prisma/adapter-pg",
    connect: () => openAdapter(databaseUrl),
    connectToShadowDb: () => openShadowAdapter(databaseUrl),
  });
  const models = files?.map(({ path, content }): [string, string] => [path, content]) ?? datamodels();
  return bindings.SchemaEngine.new({ datamodels: models }, () => undefined, adapter);
}

let loading: Promise<SchemaEngine> | undefined;

function engine(files?: readonly SchemaContainer[]): Promise<SchemaEngine> {
  loading ??= loadEngine(files);
  return loading;
}

/** The native engine prints the difference itself, by asking the CLI to. */
async function diff(params: DiffParams): Promise<object> {
  const files = filesOf(params.to) ?? filesOf(params.from);
  const result = await (
    await engine(files)
  ).diff({ ...params, from: absolute(params.from), to: absolute(params.to), exitCode: params.exitCode ?? null });
  send({ id: 1_000_000, method: "print", params: { content: result.stdout ?? "" } });
  return { exitCode: result.exitCode, stdout: null };
}

function filesOf(target: DiffTarget): readonly SchemaContainer[] | undefined {
  return "files" in target ? target.files : undefined;
}

function absolute(target: DiffTarget): DiffTarget {
  return target.tag === "migrations" ? { ...target, baseDir: resolve(target.baseDir) } : target;
}

/** The WebAssembly build panics in its own createMigration, which asks for the time; a diff is the same script. */
async function createMigration(params: CreateMigrationInput): Promise<object> {
  const from: DiffTarget =
    params.migrationsList.migrationDirectories.length > 0
      ? { tag: "migrations", ...params.migrationsList }
      : { tag: "empty" };
  const to: DiffTarget = { tag: "schemaDatamodel", files: params.schema.files };
  const result = await (
    await engine(params.schema.files)
  ).diff({ from, to, script: true, exitCode: true, filters: params.filters });
  const stamp = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
  const label = (params.migrationName || "migration")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .slice(0, 180);
  return {
    connectorType: "postgresql",
    generatedMigrationName: `${stamp}_${label}`,
    migrationScript: result.exitCode === 0 && !params.draft ? null : result.stdout,
    extension: "sql",
  };
}

async function answer(method: string, params: unknown): Promise<unknown> {
  if (method === "diff") return diff(params as DiffParams);
  if (method === "createMigration") return createMigration(params as CreateMigrationInput);
  const ready = await engine((params as { schema?: { files: SchemaContainer[] } } | undefined)?.schema?.files);
  if (method === "getDatabaseVersion") return ready.version();
  const handler = (ready as unknown as Record<string, unknown>)[method];
  if (typeof handler !== "function") throw new Error(`schema engine: unknown method ${method}`);
  return handler.call(ready, params) as unknown;
}

function send(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
}

async function serve(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = line.trim() === "" ? undefined : requestSchema.safeParse(JSON.parse(line)).data;
    if (!request) continue; // An answer to our "print".
    try {
      send({ id: request.id, result: (await answer(request.method, request.params)) ?? {} });
    } catch (error) {
      const data = { is_panic: false, message: messageOf(error), meta: null };
      send({
        id: request.id,
        error: { code: ENGINE_FAILED, message: "An error happened. Check the data field for details.", data },
      });
    }
  }
}

// The engine's Rust side reports panics here: https://github.com/prisma/prisma-engines (libs/wasm)
Object.assign(globalThis, {
  PRISMA_WASM_PANIC_REGISTRY: { set_message: (message: string) => process.stderr.write(`${message}\n`) },
});

if (argv[0] === "--version") process.stdout.write("schema-engine-wasm\n");
else if (argv.includes("cli")) await runCommand(argv[argv.indexOf("cli") + 1]).catch(reportFailure);
else await serve();
