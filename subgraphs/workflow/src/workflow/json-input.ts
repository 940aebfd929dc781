/** What JSON from outside must be before it is stored or walked. Iterative: depth is what it guards against. */

export interface JsonLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/** Why a value cannot be taken, or undefined when it can. */
export function findJsonProblem(value: unknown, { maxBytes, maxDepth }: JsonLimits): string | undefined {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) return `must not be nested deeper than ${maxDepth} levels`;
    if (level.some((item) => typeof item === "string" && !isStorable(item)))
      return "must not contain NUL or lone surrogate characters";
    level = level.flatMap(childrenOf);
  }
  return Buffer.byteLength(JSON.stringify(value)) > maxBytes ? `must not exceed ${maxBytes} bytes as JSON` : undefined;
}

/** Keys count as strings: they are stored too. */
function childrenOf(item: unknown): unknown[] {
  if (item === null || typeof item !== "object") return [];
  return Array.isArray(item) ? item : Object.entries(item).flat();
}

// https://www.postgresql.org/docs/18/datatype-json.html: jsonb cannot hold either.
function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}
