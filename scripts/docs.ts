import { globSync, readFileSync, writeFileSync } from "node:fs";
import { AppError, graphqlCodeOf, httpStatusOf, listErrorTables, type ErrorTable } from "@sba/platform/errors";
import { listEventTypes, type EventType } from "@sba/platform/events";
import { z } from "zod";

/**
 * Writes docs/errors.md and docs/events.md from what the code declares; with `--check` it fails when they would change.
 *
 *     npm run docs
 */

const ROOT = `${import.meta.dirname}/..`;
const SOURCES = ["packages/platform/src/**/*.ts", "gateway/src/**/*.ts", "subgraphs/*/src/**/*.ts"];
const NO_SOURCE = /\.test\.|[/.]testing\.ts$|\/generated\//;
const DECLARES = /\bdefine(Errors|Event)\(/;

/** Loads every module that declares errors or events, so that they are all known. */
async function loadDeclarations(): Promise<void> {
  const paths = SOURCES.flatMap((pattern) => globSync(pattern, { cwd: ROOT })).filter((path) => !NO_SOURCE.test(path));
  for (const path of paths.filter((each) => DECLARES.test(readFileSync(`${ROOT}/${each}`, "utf8")))) {
    await import(`${ROOT}/${path}`);
  }
}

function errorsPage(tables: ReadonlyMap<string, ErrorTable>): string {
  const chapters = [...tables]
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([domain, table]) => errorsChapter(domain, table));
  return page(
    "Errors",
    [
      "Every failure that a client can meet. `extensions.reason` is the error, `extensions.code` its kind; over HTTP the kind is the",
      "status. *Retry* is what `extensions.retryable` says unless the error says otherwise (then with `retryAfterMs`).",
    ],
    chapters,
  );
}

function errorsChapter(domain: string, table: ErrorTable): string {
  const rows = Object.entries(table).map(([reason, { kind, message }]) => {
    const retry = new AppError(reason, kind, message).retryable ? "yes" : "no";
    return `| \`${reason}\` | ${graphqlCodeOf(kind)} | ${httpStatusOf(kind)} | ${retry} | ${message} |`;
  });
  return [
    `## ${domain}`,
    "",
    "| Reason | Code | HTTP | Retry | Says |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

function eventsPage(events: readonly EventType[]): string {
  const byDomain = Map.groupBy(events, ({ type }) => type.split(".")[0] ?? "");
  const chapters = [...byDomain]
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([domain, types]) => eventsChapter(domain, types));
  return page(
    "Events",
    [
      "What is committed to the journal, by domain. A payload is the snapshot that readers are shown for that event. *Announced* events",
      "also reach the reactions of higher domains (`workers/src/reactions.ts`).",
    ],
    chapters,
  );
}

function eventsChapter(domain: string, events: readonly EventType[]): string {
  const sections = events
    .toSorted((a, b) => a.type.localeCompare(b.type))
    .map((event) => {
      const announced = event.announced ? " · announced" : "";
      return `### \`${event.type}\`\n\nVersion ${event.version}${announced}. ${event.description}\n\n\`\`\`ts\n${payloadText(event)}\n\`\`\``;
    });
  return [`## ${domain}`, ...sections].join("\n\n");
}

function payloadText(event: EventType): string {
  return typeText(z.toJSONSchema(event.payload, { unrepresentable: "any", io: "output" }));
}

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** A JSON Schema as a TypeScript type reads. */
function typeText(schema: JsonSchema | boolean | undefined, indent = ""): string {
  if (schema === undefined || typeof schema === "boolean") return "unknown";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives) return alternatives.map((each) => typeText(each, indent)).join(" | ");
  if (Array.isArray(schema.type)) return schema.type.join(" | ");
  if (schema.type === "array") return arrayText(typeText(schema.items as JsonSchema | undefined, indent));
  if (schema.type === "object") return objectText(schema, indent);
  if (schema.type === "integer") return "integer";
  return schema.format ? `${schema.type ?? "unknown"} /* ${schema.format} */` : (schema.type ?? "unknown");
}

function arrayText(item: string): string {
  return item.includes(" | ") ? `(${item})[]` : `${item}[]`;
}

function objectText({ properties = {}, required = [], additionalProperties }: JsonSchema, indent: string): string {
  const inner = `${indent}  `;
  const fields = Object.entries(properties).map(
    ([name, schema]) => `${inner}${name}${required.includes(name) ? "" : "?"}: ${typeText(schema, inner)};`,
  );
  if (fields.length > 0) return ["{", ...fields, `${indent}}`].join("\n");
  return typeof additionalProperties === "object" ? `Record<string, ${typeText(additionalProperties, indent)}>` : "{}";
}

function page(title: string, introduction: readonly string[], chapters: readonly string[]): string {
  const origin = "<!-- Written by scripts/docs.ts from the code: `npm run docs`. CI compares. -->";
  return `${[origin, `# ${title}`, introduction.join("\n"), ...chapters].join("\n\n")}\n`;
}

async function main(check: boolean): Promise<number> {
  await loadDeclarations();
  const pages = { "docs/errors.md": errorsPage(listErrorTables()), "docs/events.md": eventsPage(listEventTypes()) };
  const changed = Object.entries(pages).filter(([path, text]) => readIfThere(path) !== text);
  if (!check) for (const [path, text] of changed) writeFileSync(`${ROOT}/${path}`, text);
  for (const [path] of changed)
    console.log(check ? `${path} is not up to date: run npm run docs and commit it` : `${path} written`);
  return check && changed.length > 0 ? 1 : 0;
}

function readIfThere(path: string): string | undefined {
  return globSync(path, { cwd: ROOT }).length > 0 ? readFileSync(`${ROOT}/${path}`, "utf8") : undefined;
}

process.exitCode = await main(process.argv.includes("--check"));
