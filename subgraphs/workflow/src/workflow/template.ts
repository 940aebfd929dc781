/**
 * References in a definition: `{{input.title}}`, `{{steps.draft.output.text}}`. Pure and total: there is nothing to
 * evaluate, a reference is a path through JSON, and what was filled in is not looked at again.
 */

export interface Reference {
  /** As it was written between the braces. */
  readonly text: string;
  /** `["input", ...]` or `["steps", key, "output", ...]`. */
  readonly path: readonly string[];
}

/** What references can reach. */
export interface TemplateScope {
  readonly input: unknown;
  /** Finished steps, by key. */
  readonly steps: Readonly<Record<string, { readonly output: unknown }>>;
}

export type Rendered =
  { readonly value: unknown } | { readonly unknown: readonly string[] } | { readonly tooLarge: true };

const BRACES = /\{\{([^{}]*)\}\}/g;
const SEGMENT = /^[A-Za-z0-9_-]{1,100}$/;

function parseReference(text: string): Reference | undefined {
  const path = text.trim().split(".");
  const [root, , field] = path;
  const rooted = (root === "input" && path.length >= 2) || (root === "steps" && field === "output");
  return rooted && path.every((segment) => SEGMENT.test(segment)) ? { text: text.trim(), path } : undefined;
}

/** Every string in a JSON value, keys of objects left out: references stand in values only. */
function stringsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (value === null || typeof value !== "object") return [];
  return Object.values(value).flatMap(stringsOf);
}

/** The references of a template, and what stands between double braces without being one. */
export function readReferences(template: unknown): {
  readonly references: readonly Reference[];
  readonly malformed: readonly string[];
} {
  const references: Reference[] = [];
  const malformed: string[] = [];
  for (const text of stringsOf(template)) {
    for (const [whole, inner = ""] of text.matchAll(BRACES)) {
      const reference = parseReference(inner);
      if (reference) references.push(reference);
      else malformed.push(whole);
    }
    if (/\{\{|\}\}/.test(text.replaceAll(BRACES, ""))) malformed.push(text.slice(0, 100));
  }
  return { references, malformed };
}

/** Where a path leads; own properties only, so that `constructor` and the like lead nowhere. */
function follow(path: readonly string[], from: unknown): { readonly value: unknown } | undefined {
  let value = from;
  for (const segment of path) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, segment)) return undefined;
    value = (value as Record<string, unknown>)[segment];
  }
  return value === undefined ? undefined : { value };
}

/** The references that lead nowhere in this scope, each once, in the order of the alphabet. */
export function findUnknown(references: readonly Reference[], scope: TemplateScope): string[] {
  return [
    ...new Set(references.filter(({ path }) => follow(path, scope) === undefined).map(({ text }) => text)),
  ].toSorted();
}

/**
 * Fills the references in. A string that is one reference becomes its value, whatever its type; within other text a
 * string stands as it is and anything else as JSON. What would have more than `maxLength` characters is not built: a small
 * template may refer to the same large value many times.
 */
export function renderTemplate(template: unknown, scope: TemplateScope, maxLength: number): Rendered {
  const { references, malformed } = readReferences(template);
  const unknown = [...malformed, ...findUnknown(references, scope)];
  if (unknown.length > 0) return { unknown };
  return isWithin(maxLength, template, scope) ? { value: fillIn(template, scope) } : { tooLarge: true };
}

/** Whether the strings of a template have no more than so many characters when they are filled in. */
function isWithin(maxLength: number, template: unknown, scope: TemplateScope): boolean {
  const lengthOf = measurer(scope);
  let length = 0;
  for (const text of stringsOf(template)) {
    length += text.replaceAll(BRACES, "").length;
    for (const [, inner = ""] of text.matchAll(BRACES)) {
      length += lengthOf(inner);
      if (length > maxLength) return false;
    }
  }
  return length <= maxLength;
}

/** How long what a reference leads to is as text; each is measured once, however often it is referred to. */
function measurer(scope: TemplateScope): (inner: string) => number {
  const known = new Map<string, number>();
  return (inner) => {
    const reference = inner.trim();
    const length = known.get(reference) ?? asText(lookUp(reference, scope)).length;
    known.set(reference, length);
    return length;
  };
}

function fillIn(template: unknown, scope: TemplateScope): unknown {
  if (typeof template === "string") return fillInText(template, scope);
  if (template === null || typeof template !== "object") return template;
  if (Array.isArray(template)) return template.map((item) => fillIn(item, scope));
  return Object.fromEntries(Object.entries(template).map(([key, item]) => [key, fillIn(item, scope)]));
}

function fillInText(text: string, scope: TemplateScope): unknown {
  const values = new Map([...text.matchAll(BRACES)].map(([whole, inner = ""]) => [whole, lookUp(inner, scope)]));
  if (values.has(text)) return values.get(text);
  // A function, not a string, as replacement: `$&` in a value is to stay what it is.
  return text.replaceAll(BRACES, (whole) => asText(values.get(whole)));
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function lookUp(inner: string, scope: TemplateScope): unknown {
  return follow(parseReference(inner)?.path ?? [], scope)?.value;
}
