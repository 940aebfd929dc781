import { readdirSync, readFileSync } from "node:fs";
import type { AST, Rule, Scope, SourceCode } from "eslint";

/**
 * Each domain touches only its own tables: SQL in `tx.sql` names none of another Postgres schema, and `reader(...)` is
 * asked for no model of one. The journal (schema platform) may be read by all and is written by platform's functions only.
 */

// ESTree's node, whose own types package is a dependency of eslint's and not of ours.
type Node = Exclude<NonNullable<Parameters<SourceCode["getText"]>[0]>, AST.Token>;

const MODELS = "prisma/schema";
const TABLE = /\b(from|join|into|update|using|table|truncate)\s+(?:only\s+)?"?([a-z_]+)"?\."?[a-z_]+"?/gi;
const READING = new Set(["from", "join", "using"]);
// `DELETE FROM x` writes, though its table follows FROM.
const DELETION = /\bdelete\s+$/i;

interface Use {
  readonly schema: string;
  readonly writes: boolean;
}

/** The domain that a file belongs to, or "platform". */
function ownerOf(filename: string): string | undefined {
  const path = filename.replaceAll("\\", "/");
  return (
    /\/subgraphs\/([^/]+)\/src\//.exec(path)?.[1] ?? (path.includes("/packages/platform/src/") ? "platform" : undefined)
  );
}

/** The schemas of the tables that a statement names. */
function tablesIn(sql: string): readonly Use[] {
  return [...sql.matchAll(TABLE)].map((match) => {
    const [, keyword = "", schema = ""] = match;
    const isDeletion = DELETION.test(sql.slice(0, match.index));
    return { schema: schema.toLowerCase(), writes: isDeletion || !READING.has(keyword.toLowerCase()) };
  });
}

/** Model accessors of the Prisma client and the schema of each: `usageRecord` is in `billing`. */
function readModels(folder: string): ReadonlyMap<string, string> {
  const models = new Map<string, string>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".prisma"))) {
    for (const [, name = "", body = ""] of readFileSync(`${folder}/${file}`, "utf8").matchAll(
      /^model (\w+) \{(.*?)^\}/gms,
    )) {
      const schema = /@@schema\("(\w+)"\)/.exec(body)?.[1];
      if (schema !== undefined) models.set(name.charAt(0).toLowerCase() + name.slice(1), schema);
    }
  }
  return models;
}

function isForbidden(owner: string, { schema, writes }: Use, known: ReadonlySet<string>): boolean {
  return known.has(schema) && schema !== owner && (schema !== "platform" || writes);
}

/** Whether an expression is `reader(...)`, or a variable that holds one. */
function isReader(node: Node, scope: Scope.Scope | null): boolean {
  if (node.type === "CallExpression") return node.callee.type === "Identifier" && node.callee.name === "reader";
  return node.type === "Identifier" && holdsReader(node.name, scope);
}

function holdsReader(name: string, scope: Scope.Scope | null): boolean {
  for (let current = scope; current; current = current.upper) {
    const definition = current.set.get(name)?.defs[0];
    if (definition?.type === "Variable") return definition.node.init ? isReader(definition.node.init, null) : false;
    if (definition) return false;
  }
  return false;
}

export const ownTables: Rule.RuleModule = {
  meta: {
    type: "problem",
    docs: { description: "a domain touches only its own tables" },
    messages: { foreign: "{{ owner }} must not touch tables of {{ schema }}: call a function of its face instead." },
    schema: [],
  },
  create(context) {
    const owner = ownerOf(context.filename);
    if (owner === undefined) return {};
    const models = readModels(`${context.cwd}/${MODELS}`);
    const known = new Set(models.values());
    const report = (node: Node, use: Use): void => {
      if (isForbidden(owner, use, known))
        context.report({ node, messageId: "foreign", data: { owner, schema: use.schema } });
    };
    return {
      TaggedTemplateExpression({ tag, quasi }) {
        if (tag.type !== "MemberExpression" || tag.property.type !== "Identifier" || tag.property.name !== "sql")
          return;
        for (const use of tablesIn(quasi.quasis.map(({ value }) => value.raw).join("$1"))) report(quasi, use);
      },
      MemberExpression(node) {
        if (node.property.type !== "Identifier" || !isReader(node.object, context.sourceCode.getScope(node))) return;
        const schema = models.get(node.property.name);
        if (schema !== undefined) report(node.property, { schema, writes: false });
      },
    };
  },
};
