/** What JSON from outside must be before it is stored or walked. Iterative: depth is what it guards against. */

export interface JsonLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/**
 * Why a value cannot be taken, or undefined when it can. Of a value that holds the same large part many times no more is
 * walked than the limit allows: as JSON each part counts as often as it stands there.
 */
export function findJsonProblem(value: unknown, { maxBytes, maxDepth }: JsonLimits): string | undefined {
  const levels: Iterator<unknown, undefined>[] = [[value].values()];
  let leastBytes = 0;
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const { done, value: item } = level.next();
    if (done) {
      levels.pop();
      continue;
    }
    if (levels.length > maxDepth + 1) return `must not be nested deeper than ${maxDepth} levels`;
    leastBytes += typeof item === "string" ? item.length : 1;
    if (leastBytes > maxBytes) return tooLarge(maxBytes);
    if (typeof item === "string" && !isStorable(item)) return "must not contain NUL or lone surrogate characters";
    if (item !== null && typeof item === "object") levels.push(childrenOf(item).values());
  }
  return Buffer.byteLength(JSON.stringify(value)) > maxBytes ? tooLarge(maxBytes) : undefined;
}

/** What is said of a value that has more bytes than it may. */
export function tooLarge(maxBytes: number): string {
  return `must not exceed ${maxBytes} bytes as JSON`;
}

/** Keys count as strings: they are stored too. */
function childrenOf(item: object): unknown[] {
  return Array.isArray(item) ? item : Object.entries(item).flat();
}

// https://www.postgresql.org/docs/18/datatype-json.html: jsonb cannot hold either.
function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}
