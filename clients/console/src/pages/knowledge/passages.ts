/** How passages, which overlap, are shown as one text. Pure. */

export interface TextRange {
  readonly start: number;
  readonly length: number;
}

export interface Passage {
  readonly id: string;
  readonly number: number | null;
  readonly start: number | null;
  readonly text: string;
}

export interface Block {
  readonly passage: Passage;
  /** What of the passage's text is shown here. */
  readonly from: number;
  readonly to: number;
}

/** Each part of the text once. What two passages share is the earlier one's, unless the later one is what somebody looks for. */
export function toBlocks(passages: readonly Passage[], soughtNumber: number | undefined): readonly Block[] {
  let end = 0;
  return passages.map((passage, index) => {
    const { start, text } = passage;
    const next = passages[index + 1];
    if (start === null) return { passage, from: 0, to: text.length };
    const from = passage.number === soughtNumber ? 0 : afterWhiteSpace(text, Math.max(0, end - start));
    const isNextSought = next?.number === soughtNumber && next?.start != null;
    const to = isNextSought ? Math.min(text.length, Math.max(from, next.start - start)) : text.length;
    end = start + to;
    return { passage, from, to };
  });
}

function afterWhiteSpace(text: string, at: number): number {
  const found = text.slice(at).search(/\S/);
  return found === -1 ? text.length : at + found;
}

export interface Piece {
  readonly text: string;
  readonly isMarked: boolean;
}

/** A part of a text in pieces, those in the ranges marked. */
export function toPieces(text: string, ranges: readonly TextRange[], from = 0, to = text.length): readonly Piece[] {
  const pieces: Piece[] = [];
  let at = from;
  const add = (until: number, isMarked: boolean): void => {
    if (until > at) pieces.push({ text: text.slice(at, until), isMarked });
    at = Math.max(at, until);
  };
  for (const { start, length } of ranges) {
    add(Math.min(start, to), false);
    add(Math.min(start + length, to), true);
  }
  add(to, false);
  return pieces;
}

/** About this many characters of a passage are shown among the results. */
const EXCERPT_LENGTH = 420;
const LEAD_LENGTH = 60;

/** Where in a passage most of what was asked for stands. */
export function excerptOf(text: string, ranges: readonly TextRange[]): { readonly from: number; readonly to: number } {
  if (text.length <= EXCERPT_LENGTH) return { from: 0, to: text.length };
  const latest = text.length - EXCERPT_LENGTH;
  const candidates = [0, ...ranges.map(({ start }) => Math.min(latest, Math.max(0, start - LEAD_LENGTH)))];
  const countIn = (from: number): number =>
    ranges.filter(({ start, length }) => start >= from && start + length <= from + EXCERPT_LENGTH).length;
  const best = candidates.reduce((kept, each) => (countIn(each) > countIn(kept) ? each : kept), 0);
  return { from: afterSpace(text, best), to: afterSpace(text, best + EXCERPT_LENGTH) };
}

/** The beginning of a word at or after a place, if there is one near. */
function afterSpace(text: string, at: number): number {
  if (at === 0 || at >= text.length) return Math.min(at, text.length);
  const space = text.slice(at - 1, at + 30).search(/\s/);
  return space === -1 ? at : at + space;
}
