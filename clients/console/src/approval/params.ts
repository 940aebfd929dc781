/** What a tool would be called with, as fields that a person can read and, where it is allowed, change. */

export interface Param {
  readonly name: string;
  readonly value: unknown;
  readonly isEditable: boolean;
}

export function paramsOf(params: unknown, editable: readonly string[]): readonly Param[] {
  if (typeof params !== "object" || params === null) return [];
  return Object.entries(params as Readonly<Record<string, unknown>>).map(([name, value]) => ({
    name,
    value,
    isEditable: editable.includes(name),
  }));
}

/** As it stands in a field: texts as they are, everything else as JSON. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/**
 * What was typed, of the kind that was there before: a text stays a text, whatever it looks like.
 * @throws SyntaxError when something else than a text is no JSON.
 */
export function valueOf(text: string, before: unknown): unknown {
  return typeof before === "string" ? text : JSON.parse(text);
}

/** What it is about, in a line: the first of its texts. */
export function gistOf(params: unknown): string {
  return (paramsOf(params, []).find(({ value }) => typeof value === "string" && value !== "")?.value as string) ?? "";
}

export type Drafts = Readonly<Record<string, string>>;

export interface Edited {
  /** Only what differs; undefined when nothing does. */
  readonly params: Readonly<Record<string, unknown>> | undefined;
  /** Names of those that cannot be read. */
  readonly invalid: readonly string[];
}

export function editedOf(params: readonly Param[], drafts: Drafts): Edited {
  const changed: Record<string, unknown> = {};
  const invalid: string[] = [];
  for (const { name, value, isEditable } of params) {
    const draft = drafts[name];
    if (!isEditable || draft === undefined || draft === textOf(value)) continue;
    try {
      changed[name] = valueOf(draft, value);
    } catch {
      invalid.push(name);
    }
  }
  return { params: Object.keys(changed).length > 0 ? changed : undefined, invalid };
}
