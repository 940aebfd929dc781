/** True for text that Postgres can hold in jsonb: no NUL and no lone surrogate (https://www.postgresql.org/docs/18/datatype-json.html). */
function isStorableText(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

/**
 * The value as it will be stored: JSON, or undefined when it cannot be JSON in Postgres (cycles, bigint, functions at
 * the top, NUL characters).
 */
export function toStorableJson(value: unknown): string | undefined {
  let storable = true;
  try {
    const text: string | undefined = JSON.stringify(value, (key, item: unknown) => {
      if (!isStorableText(key) || (typeof item === "string" && !isStorableText(item))) storable = false;
      return item;
    });
    return storable ? text : undefined;
  } catch {
    return undefined;
  }
}
