/** What a workflow asks for: its definition says so by what its steps refer to, `{{input.title}}`. */

export interface InputField {
  readonly name: string;
  /** Its parts are referred to: it is an object, or a list. */
  readonly isJson: boolean;
}

const REFERENCE = /\{\{\s*input\.([A-Za-z0-9_-]+)((?:\.[A-Za-z0-9_-]+)*)\s*\}\}/g;

/** Each once, in the order in which the steps use them. */
export function inputFieldsOf(steps: readonly { readonly config: unknown }[]): readonly InputField[] {
  const fields = new Map<string, boolean>();
  for (const { config } of steps)
    for (const text of stringsOf(config))
      for (const [, name = "", rest = ""] of text.matchAll(REFERENCE))
        fields.set(name, rest !== "" || fields.get(name) === true);
  return [...fields].map(([name, isJson]) => ({ name, isJson }));
}

function stringsOf(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  if (value === null || typeof value !== "object") return [];
  return Object.values(value).flatMap(stringsOf);
}

export interface Input {
  readonly value: Readonly<Record<string, unknown>>;
  /** Names of fields that are empty, or no JSON where they must be. */
  readonly wrong: readonly string[];
}

export function inputOf(fields: readonly InputField[], texts: Readonly<Record<string, string>>): Input {
  const value: Record<string, unknown> = {};
  const wrong: string[] = [];
  for (const { name, isJson } of fields) {
    const text = texts[name] ?? "";
    if (text.trim() === "") wrong.push(name);
    else if (!isJson) value[name] = text;
    else
      try {
        value[name] = JSON.parse(text);
      } catch {
        wrong.push(name);
      }
  }
  return { value, wrong };
}
