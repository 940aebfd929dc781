import { createHash } from "node:crypto";

/** What `db.ts` makes of a template and of the names of columns; both once. */

export interface Statement {
  readonly name: string;
  readonly text: string;
}

// A template literal's strings array is one object for the life of its call site: text and name are computed once.
const statements = new WeakMap<TemplateStringsArray, Statement>();

/** The prepared statement of a template literal. */
export function statementOf(strings: TemplateStringsArray): Statement {
  let statement = statements.get(strings);
  if (!statement) {
    const text = strings.reduce((joined, part, index) => `${joined}$${index}${part}`);
    statement = { text, name: createHash("sha256").update(text).digest("base64url").slice(0, 24) };
    statements.set(strings, statement);
  }
  return statement;
}

const camelCased = new Map<string, string>();

/** A column's name as rows have it. */
export function camelCase(column: string): string {
  let name = camelCased.get(column);
  if (name === undefined) {
    name = column.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    camelCased.set(column, name);
  }
  return name;
}
