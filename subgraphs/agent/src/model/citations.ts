/** Citation markers in an answer, `[2]` or `[1, 3]`: which passages it names, and what they say there. Pure. */

export interface CitableHit {
  /** The number by which the answer names it. */
  readonly number: number;
  readonly text: string;
}

export interface Cited<Hit extends CitableHit> {
  readonly hit: Hit;
  /** The sentence of the hit that is closest to the claim, as it stands there. */
  readonly quote: string;
}

// Not a Markdown link's text, [1](https://...), nor a link reference, [1]: https://...
const MARKER = /\[(\d{1,4}(?:\s*,\s*\d{1,4})*)\](?![(:])/g;

/** The hits that the text names, each once, in the order of their first mention. Numbers that no hit has are ignored. */
export function citationsOf<Hit extends CitableHit>(text: string, hits: readonly Hit[]): Cited<Hit>[] {
  const byNumber = new Map(hits.map((hit) => [hit.number, hit]));
  const cited = new Map<number, Cited<Hit>>();
  for (const match of text.matchAll(MARKER)) {
    const claim = claimBefore(text, match.index);
    for (const number of (match[1] ?? "").split(",").map(Number)) {
      const hit = byNumber.get(number);
      if (hit && !cited.has(number)) cited.set(number, { hit, quote: quoteFor(claim, hit.text) });
    }
  }
  return [...cited.values()];
}

/** The sentence that a marker ends or stands in, without its markers. */
function claimBefore(text: string, markerAt: number): string {
  const before = text
    .slice(Math.max(0, markerAt - 1_000), markerAt)
    .replace(MARKER, " ")
    .trimEnd();
  return splitSentences(before).at(-1) ?? before;
}

function quoteFor(claim: string, passage: string): string {
  const wanted = new Set(wordsOf(claim));
  const overlap = (sentence: string): number => new Set(wordsOf(sentence).filter((word) => wanted.has(word))).size;
  const best = splitSentences(passage)
    .map((sentence) => ({ sentence, score: overlap(sentence) }))
    .reduce<{ sentence: string; score: number } | undefined>(
      (top, each) => (top && top.score >= each.score ? top : each),
      undefined,
    );
  return (best?.sentence ?? passage.trim()).slice(0, MAX_QUOTE_LENGTH);
}

const MAX_QUOTE_LENGTH = 500;

export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
}

// A stop that white space follows; not after an initial or a short form, where a sentence seldom ends.
const SENTENCE_END =
  /(?<=[.!?]["')\]]?)(?<!\b(?:\p{L}|e\.g|i\.e|cf|vs|dr|mr|mrs|no|fig|figs|eq|eqs|ref|refs|approx|etc)\.)\s+|\n{2,}/giu;

/** The sentences of a passage as they stand in it, trimmed. */
export function splitSentences(text: string): string[] {
  return text
    .split(SENTENCE_END)
    .map((sentence) => sentence.trim())
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}
