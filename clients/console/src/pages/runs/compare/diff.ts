/** How two texts differ, in words. */

export interface Part {
  readonly kind: "same" | "one" | "other";
  readonly text: string;
}

/** More words than this between what is the same at both ends are not compared: they count as different. */
const MOST_WORDS = 2_500;

/** The parts of both texts in order: what both have, what only one has, what only the other has. */
export function diffOf(one: string, other: string): readonly Part[] {
  const [left, right] = [wordsOf(one), wordsOf(other)];
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start++;
  let end = 0;
  while (end < left.length - start && end < right.length - start && left.at(-1 - end) === right.at(-1 - end)) end++;
  const middle = compare(left.slice(start, left.length - end), right.slice(start, right.length - end));
  const ends = (words: readonly string[]): Part[] => words.map((text) => ({ kind: "same", text }));
  return joined([...ends(left.slice(0, start)), ...middle, ...ends(left.slice(left.length - end))]);
}

/** Words with the space after them. */
function wordsOf(text: string): readonly string[] {
  return text.match(/\S+\s*|\s+/g) ?? [];
}

function compare(left: readonly string[], right: readonly string[]): readonly Part[] {
  const all = (kind: Part["kind"], words: readonly string[]): Part[] => words.map((text) => ({ kind, text }));
  if (left.length > MOST_WORDS || right.length > MOST_WORDS) return [...all("one", left), ...all("other", right)];
  const width = right.length + 1;
  // How many words the rest of both have in common, from each pair of places.
  const common = new Uint16Array((left.length + 1) * width);
  const at = (row: number, column: number): number => common[row * width + column] ?? 0;
  for (let row = left.length - 1; row >= 0; row--)
    for (let column = right.length - 1; column >= 0; column--)
      common[row * width + column] =
        left[row] === right[column] ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
  const parts: Part[] = [];
  let [row, column] = [0, 0];
  while (row < left.length && column < right.length) {
    if (left[row] === right[column]) {
      parts.push({ kind: "same", text: left[row] ?? "" });
      row++;
      column++;
    } else if (at(row + 1, column) >= at(row, column + 1)) parts.push({ kind: "one", text: left[row++] ?? "" });
    else parts.push({ kind: "other", text: right[column++] ?? "" });
  }
  return [...parts, ...all("one", left.slice(row)), ...all("other", right.slice(column))];
}

function joined(parts: readonly Part[]): readonly Part[] {
  const result: Part[] = [];
  for (const part of parts) {
    const last = result.at(-1);
    if (last?.kind === part.kind) result[result.length - 1] = { kind: part.kind, text: last.text + part.text };
    else result.push(part);
  }
  return result;
}
