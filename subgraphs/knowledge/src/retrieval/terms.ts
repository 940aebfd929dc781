import { stemmer } from "stemmer";

/** How text becomes terms, the same for documents and queries: words without stop words, stemmed by Porter's rules. */

// Words of English that carry structure and no subject; those that NLTK, Lucene and Snowball agree on, and what is left of contractions.
const STOP_WORDS = new Set(
  `a about above after again against all am an and any are arent as at be because been before being below between both but by
  can cannot cant could couldnt did didnt do does doesnt doing dont down during each few for from further had hadnt has hasnt
  have havent having he her here hers herself him himself his how i if in into is isnt it its itself more most my myself no nor
  not of off on once only or other our ours ourselves out over own same she should shouldnt so some such than that the their
  theirs them themselves then there these they this those through to too under until up very was wasnt we were werent what
  when where which while who whom why will with wont would wouldnt you your yours yourself yourselves`.split(/\s+/),
);

const WORD = /[\p{L}\p{M}\p{N}]+(?:['’]\p{L}+)*/gu;
// Scripts that put no space between words: every pair of neighbouring characters is a term.
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const LATIN = /^[a-z]+$/;
// Combining marks of Latin, Greek and Cyrillic: "Müller" is found by "muller". Marks of other scripts spell words and stay.
const ACCENTS = /[\u0300-\u036f]/g;
/** Longer "words" are keys, hashes and encoded data: they are found by their beginning. */
const MAX_TERM_LENGTH = 64;

const stems = new Map<string, string>();
const MAX_CACHED_STEMS = 50_000;

function stem(word: string): string {
  let known = stems.get(word);
  if (known === undefined) {
    known = stemmer(word);
    if (stems.size >= MAX_CACHED_STEMS) stems.clear();
    stems.set(word, known);
  }
  return known;
}

/** The terms of a text in their order, repeats included. Terms hold no white space. */
export function termsOf(text: string): string[] {
  const terms: string[] = [];
  // NFKD takes letters and accents apart and makes ligatures and wide forms plain (Unicode Annex 15).
  for (const [match] of text.normalize("NFKD").replace(ACCENTS, "").toLowerCase().matchAll(WORD)) {
    const word = match
      .replace(/['’]s?$/, "")
      .replace(/['’]s?/g, "")
      .slice(0, MAX_TERM_LENGTH);
    if (STOP_WORDS.has(word)) continue;
    if (LATIN.test(word)) terms.push(stem(word));
    else if (UNSPACED.test(word)) terms.push(...pairs(word));
    else terms.push(word.toWellFormed());
  }
  return terms;
}

/** A part of a text, in UTF-16 code units. */
export interface TextRange {
  readonly start: number;
  readonly length: number;
}

/** Where a text has any of the terms, in order; what touches is one range. */
export function findTerms(text: string, terms: ReadonlySet<string>): TextRange[] {
  const ranges: TextRange[] = [];
  const add = (start: number, length: number): void => {
    const before = ranges.at(-1);
    if (before && start <= before.start + before.length)
      ranges[ranges.length - 1] = {
        start: before.start,
        length: Math.max(before.length, start + length - before.start),
      };
    else ranges.push({ start, length });
  };
  for (const { 0: word, index } of text.matchAll(WORD)) {
    if (!UNSPACED.test(word)) {
      if (termsOf(word).some((term) => terms.has(term))) add(index, word.length);
      continue;
    }
    let at = index;
    const characters = [...word];
    for (const [number, character] of characters.entries()) {
      const pair = character + (characters[number + 1] ?? "");
      if (termsOf(pair).some((term) => terms.has(term))) add(at, pair.length);
      at += character.length;
    }
  }
  return ranges;
}

function pairs(word: string): string[] {
  const characters = [...word];
  if (characters.length === 1) return characters;
  return characters.slice(1).map((character, index) => `${characters[index] ?? ""}${character}`);
}

/** How often each term occurs. */
export function countTerms(terms: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
  return counts;
}
