import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Writes the shape of a domain, with one noun that works and is tested, and enters it where domains are listed:
 *
 *     pnpm new:subgraph loyalty reward
 *
 * The domain goes to the upper end of the line. What only a person can decide is printed at the end.
 */

const TEMPLATES = `${import.meta.dirname}/new-subgraph`;

interface Names {
  readonly domain: string;
  readonly noun: string;
}

/** What the templates' {{placeholders}} stand for. */
function valuesOf({ domain, noun }: Names): Readonly<Record<string, string>> {
  const words = noun.split("-");
  const pascal = words.map(capital).join("");
  const snake = words.join("_");
  return {
    domain,
    domainVar: domain,
    schema: domain,
    Domain: capital(domain),
    DOMAIN: domain.toUpperCase(),
    noun,
    words: words.join(" "),
    nounVar: pascal.charAt(0).toLowerCase() + pascal.slice(1),
    table: snake,
    Noun: pascal,
    NOUN: snake.toUpperCase(),
  };
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_match, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`a template asks for {{${name}}}, which nothing stands for`);
    return value;
  });
}

/** Where a template's file goes. */
function targetOf(template: string, { domain, noun }: Names, migration: string): string {
  const path = template.replace(/\.tmpl$/, "");
  if (path === "prisma/schema.prisma") return `prisma/schema/${domain}.prisma`;
  if (path === "prisma/migration.sql") return `prisma/migrations/${migration}_${domain}/migration.sql`;
  return `subgraphs/${domain}/${path.replace("src/noun/noun", `src/${noun}/${noun}`)}`;
}

/** One after the last, so that it is applied after what it may refer to. */
function nextMigration(root: string): string {
  const stamps = globSync("prisma/migrations/*_*/", { cwd: root }).map((path) =>
    BigInt(/(\d{14})_/.exec(path)?.[1] ?? 0),
  );
  return String(stamps.reduce((last, stamp) => (stamp > last ? stamp : last), 0n) + 1n);
}

function writeFiles(root: string, names: Names): void {
  const migration = nextMigration(root);
  for (const template of globSync("**/*.tmpl", { cwd: TEMPLATES })) {
    const path = join(root, targetOf(template, names, migration));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, fill(readFileSync(join(TEMPLATES, template), "utf8"), valuesOf(names)));
  }
}

/** Inserts a text before the first place where `before` is found after `after`. */
function insert(root: string, path: string, after: string, before: string, text: string): void {
  const file = join(root, path);
  const content = readFileSync(file, "utf8");
  const position = content.indexOf(before, content.indexOf(after));
  if (!content.includes(after) || position < 0) throw new Error(`${path} has changed: add by hand ${text.trim()}`);
  writeFileSync(file, content.slice(0, position) + text + content.slice(position));
}

/** Three letters of the noun that no other id begins with. */
function choosePrefix(root: string, noun: string): string {
  const taken = new Set(
    [...readFileSync(join(root, "packages/platform/src/ids.ts"), "utf8").matchAll(/: "([a-z]{3})"/g)].map(
      ([, prefix]) => prefix,
    ),
  );
  const [first = "", ...rest] = noun.replaceAll("-", "");
  const candidates = rest.flatMap((second, index) => rest.slice(index + 1).map((third) => first + second + third));
  const free = candidates.find((candidate) => !taken.has(candidate));
  if (free === undefined) throw new Error(`${noun} gives no three letters that are free: choose another noun`);
  return free;
}

function enter(root: string, names: Names): void {
  const { domain, noun } = names;
  const { Noun = "" } = valuesOf(names);
  insert(
    root,
    "packages/platform/src/ids.ts",
    "ID_PREFIXES = {",
    "} as const",
    `  ${Noun}: "${choosePrefix(root, noun)}",\n`,
  );
  const permissions = `  "${domain}:read": "See ${noun}s.",\n  "${domain}:manage": "Create and archive ${noun}s.",\n`;
  insert(root, "packages/platform/src/permissions.ts", "PERMISSIONS = {", "} as const", permissions);
  insert(root, "prisma/schema/schema.prisma", "schemas", "]\n", `, "${domain}"`);
  insert(root, ".dependency-cruiser.cjs", "const domains", "];", `, "${domain}"`);
  const supergraph = join(root, "supergraph.yaml");
  const ports = [...readFileSync(supergraph, "utf8").matchAll(/:(\d+)\/graphql/g)].map(([, port]) => Number(port));
  const entry = `  ${domain}:\n    routing_url: http://127.0.0.1:${Math.max(4000, ...ports) + 1}/graphql\n    schema: { file: ./schema/subgraphs/${domain}.graphql }\n`;
  writeFileSync(supergraph, `${readFileSync(supergraph, "utf8").trimEnd()}\n${entry}`);
}

function nextSteps({ domain, noun }: Names): string {
  return [
    `subgraphs/${domain} is written. Next:`,
    `  1. "@sba/${domain}": "workspace:*" into package.json and packages/launcher/package.json, then npx -y pnpm@12.21.0 install`,
    `  2. ${domain}Subgraph into SUBGRAPHS of packages/launcher/src/server.ts`,
    `  3. ${domain}:read and ${domain}:manage into the roles that shall have them (subgraphs/identity/src/role/role.ts)`,
    "  4. npm run setup && npm run schema && npm run docs && npm run format",
    `  5. npm test -- subgraphs/${domain}, then say in subgraphs/${domain}/README.md what a ${noun} means`,
  ].join("\n");
}

/** Writes the domain below `root`. Throws, having written nothing, for a name that is taken or none. */
export function newSubgraph(root: string, names: Names): string {
  if (!/^[a-z]{3,}$/.test(names.domain))
    throw new Error("a domain is one word in lower case, as: pnpm new:subgraph loyalty reward");
  if (!/^[a-z]+(-[a-z]+)*$/.test(names.noun))
    throw new Error("a noun is in lower case, with dashes, as: pnpm new:subgraph loyalty reward");
  if (existsSync(join(root, "subgraphs", names.domain))) throw new Error(`subgraphs/${names.domain} exists already`);
  choosePrefix(root, names.noun);
  writeFiles(root, names);
  enter(root, names);
  return nextSteps(names);
}

if (import.meta.main) {
  const [domain = "", noun = domain] = process.argv.slice(2);
  try {
    console.log(newSubgraph(`${import.meta.dirname}/..`, { domain, noun }));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
