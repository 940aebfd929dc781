/**
 * Prints each subgraph's SDL, composes the supergraph, and writes what the gateway and clients read:
 *
 *     subgraphs/<name>.graphql   each subgraph as it composes
 *     supergraph.graphql         for the gateway
 *     api.graphql                for clients: what they can ask
 *     routes.json                for a gateway whose subgraphs run elsewhere: the paths that it forwards
 *
 * `npm run schema` writes them; with `--check` nothing is written, and it fails for a file that is not up to date, for a change that
 * breaks `released.graphql` and is not in `accepted-changes.json`, and for a document of `documents/` that would be refused.
 */
import { existsSync, globSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { composeServices } from "@apollo/composition";
import { printSubgraphSchema } from "@apollo/subgraph";
import type { Route, Subgraph } from "@sba/platform/server";
import { buildSchema as buildAPI, lexicographicSortSchema, parse, printSchema } from "graphql";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import {
  acceptedChangesSchema,
  findBreakingChanges,
  findOddPages,
  findRefusedDocuments,
  operationsIn,
} from "./governance.ts";
import { readManifests } from "../gateway/src/manifests.ts";

const root = new URL("../", import.meta.url);

const supergraphConfigSchema = z.object({
  subgraphs: z.record(z.string(), z.object({ routing_url: z.url(), schema: z.object({ file: z.string() }) })),
});

interface Found {
  readonly name: string;
  readonly url: string;
  readonly sdlPath: string;
  readonly subgraph: Subgraph;
}

interface Files {
  readonly [path: string]: string;
}

/** What `schema/` must contain, by path from the root, and what kept it from being complete. */
export async function buildSchema(): Promise<{ readonly files: Files; readonly problems: readonly string[] }> {
  const { found, missing } = await findSubgraphs();
  const printed: Files = Object.fromEntries(
    found.map(({ sdlPath, subgraph }) => [sdlPath, `${printSubgraphSchema(subgraph.schema).trim()}\n`]),
  );
  const composed = composeServices(
    found.map(({ name, url, sdlPath }) => ({ name, url, typeDefs: parse(printed[sdlPath] ?? "") })),
  );
  if (composed.errors)
    return {
      files: printed,
      problems: [...missing, ...composed.errors.map((error) => `does not compose: ${error.message}`)],
    };
  const api = composed.schema.toAPISchema().toGraphQLJSSchema();
  return {
    files: {
      ...printed,
      "schema/supergraph.graphql": `${composed.supergraphSdl.trim()}\n`,
      "schema/api.graphql": `${printSchema(lexicographicSortSchema(api)).trim()}\n`,
      "schema/routes.json": `${JSON.stringify(Object.fromEntries(found.map(({ name, subgraph }) => [name, subgraph.routes.map(declare)])), null, 2)}\n`,
    },
    problems: missing,
  };
}

function declare({ method, path, authenticated }: Route): Pick<Route, "method" | "path" | "authenticated"> {
  return { method, path, ...(authenticated ? { authenticated } : {}) };
}

async function findSubgraphs(): Promise<{ readonly found: readonly Found[]; readonly missing: readonly string[] }> {
  const { subgraphs } = supergraphConfigSchema.parse(
    parseYaml(await readFile(new URL("supergraph.yaml", root), "utf8")),
  );
  const found: Found[] = [];
  const missing: string[] = [];
  for (const [name, { routing_url: url, schema }] of Object.entries(subgraphs)) {
    const subgraph = await loadSubgraph(name);
    if (typeof subgraph === "string") missing.push(`${name}: ${subgraph}`);
    else found.push({ name, url, subgraph, sdlPath: schema.file.replace(/^\.\//, "") });
  }
  return { found, missing };
}

async function loadSubgraph(name: string): Promise<Subgraph | string> {
  const path = `subgraphs/${name}/src/server.ts`;
  if (!existsSync(new URL(path, root))) return `${path} does not exist`;
  const exported = `${name}Subgraph`;
  try {
    const module = (await import(new URL(path, root).href)) as Readonly<Record<string, Subgraph | undefined>>;
    const subgraph = module[exported];
    if (!subgraph) return `${path} does not export ${exported}`;
    return subgraph.name === name ? subgraph : `${exported} in ${path} calls itself ${subgraph.name}`;
  } catch (error) {
    return `${path} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function outdated(files: Files): Promise<readonly string[]> {
  const compared = await Promise.all(
    Object.entries(files).map(async ([path, text]) => ({
      path,
      same: (await readFile(new URL(path, root), "utf8").catch(() => "")) === text,
    })),
  );
  return compared
    .filter(({ same }) => !same)
    .map(({ path }) => `${path} is not up to date: run npm run schema and commit it`);
}

/** What the API as it is now does to those who use it. */
async function misgoverned(files: Files): Promise<readonly string[]> {
  const read = (path: string) => readFile(new URL(path, root), "utf8");
  const current = buildAPI(files["schema/api.graphql"] ?? "");
  const accepted = acceptedChangesSchema.parse(JSON.parse(await read("schema/accepted-changes.json")));
  return [
    ...(await findBreakingChanges(buildAPI(await read("schema/released.graphql")), current, accepted)),
    ...findRefusedDocuments(current, await shippedDocuments()),
    ...findOddPages(current),
  ];
}

/** Of every client version that is still in use: our own as it is now, and the manifests of those that were released. */
async function shippedDocuments(): Promise<ReadonlyMap<string, string>> {
  const paths = globSync("clients/typescript/operations/*.graphql", { cwd: root });
  const own = operationsIn(await Promise.all(paths.map((path) => readFile(new URL(path, root), "utf8"))));
  const manifests = await readManifests(new URL("schema/documents/", root));
  return new Map([
    ...[...own].map(([name, text]) => [`clients/typescript: ${name}`, text] as const),
    ...manifests.flatMap(({ client, version, operations }) =>
      operations.map(({ name, body }) => [`${client}@${version}: ${name}`, body] as const),
    ),
  ]);
}

async function write(files: Files): Promise<void> {
  await mkdir(new URL("schema/subgraphs/", root), { recursive: true });
  await Promise.all(Object.entries(files).map(([path, text]) => writeFile(new URL(path, root), text)));
}

async function main(check: boolean): Promise<number> {
  const { files, problems } = await buildSchema();
  if (!check) await write(files);
  const all = [...problems, ...(check ? [...(await outdated(files)), ...(await misgoverned(files))] : [])];
  for (const problem of all) console.error(`schema: ${problem}`);
  if (all.length === 0)
    console.log(`schema: ${Object.keys(files).length} files ${check ? "are up to date" : "written"}`);
  return all.length === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  process.exit(await main(process.argv.includes("--check")));
