import { Kind, visit, type DocumentNode } from "graphql";
import { platformErrors } from "./errors.ts";

/**
 * What no column can hold is refused before anything is done with it: NUL characters and lone surrogates, which neither
 * text nor jsonb takes (https://www.postgresql.org/docs/18/datatype-json.html), and values nested so deeply that code
 * which walks them runs out of stack.
 */

const MAX_DEPTH = 64;

/** @throws INPUT_INVALID naming the first variable that cannot be stored */
export function requireStorable(variables: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(variables)) {
    const problem = problemOf(value, 0);
    if (problem) throw platformErrors.INPUT_INVALID({ message: `$${name} ${problem}`, details: { variable: name } });
  }
}

/** Whether a column can hold it: for what `requireStorable` cannot see, such as the text in a cursor. */
export function isStorable(value: unknown): boolean {
  return problemOf(value, 0) === undefined;
}

const checked = new WeakSet<DocumentNode>();

/** As `requireStorable`, for what is written in the document itself; a document is looked at once. */
export function requireStorableLiterals(document: DocumentNode): void {
  if (checked.has(document)) return;
  visit(document, {
    [Kind.STRING]: ({ value }) => {
      const problem = problemOf(value, 0);
      if (problem) throw platformErrors.INPUT_INVALID({ message: `A text of the document ${problem}` });
    },
  });
  checked.add(document);
}

function problemOf(value: unknown, depth: number): string | undefined {
  if (typeof value === "string") {
    if (value.includes("\0")) return "must not contain NUL characters";
    return value.isWellFormed() ? undefined : "must be well-formed Unicode";
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (depth >= MAX_DEPTH) return `must not be nested more than ${MAX_DEPTH} levels deep`;
  for (const [key, item] of Object.entries(value)) {
    const problem = problemOf(key, depth) ?? problemOf(item, depth + 1);
    if (problem) return problem;
  }
  return undefined;
}
