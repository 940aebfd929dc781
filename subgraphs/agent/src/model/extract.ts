import { stemmer } from "stemmer";
import { splitSentences, wordsOf } from "./citations.ts";

/** Answers by extraction: the sentences of passages that say most about a question. Pure and deterministic. */

export interface Passage {
  readonly number: number;
  readonly text: string;
  /** A passage that repeats its title as a sentence says nothing by it. */
  readonly title?: string;
}

export interface ExtractedSentence {
  /** The passage's number. */
  readonly number: number;
  readonly text: string;
}

const MIN_SENTENCES = 3;
const MAX_SENTENCES = 6;
const MIN_WORDS = 5;
const MAX_WORDS = 80;
/** Sentences after the third must be at least this good beside the best one. */
const WORTH_ADDING = 0.45;
/** Two sentences that share more than this part of all their terms say the same. */
const SAME_CONTENT = 0.7;

// Words that say nothing about what is asked, in questions and in running text.
const STOP_WORDS = new Set(
  (
    "a an and any anybody anyone anything are as at be been being but by can could did do does doing done for from get give had has have " +
    "having he her here hers him his how i if in into is it its just know let like look many may me might mine more most much must my no not " +
    "now of off on one only or other our ours out over own please say shall she should so some such tell than thanks that the their them then " +
    "there these they this those to too under up upon us very want was we were what whatever when where whether which while who whom whose " +
    "why will with within without would yes you your yours about above after again against all also am because before below between both " +
    "during each few further hello hey hi ok okay same through until"
  ).split(" "),
);

/** What a text is about: stems of its words that carry meaning. */
export function termsOf(text: string): string[] {
  return wordsOf(text)
    .filter((word) => !STOP_WORDS.has(word) && (word.length > 1 || /\p{N}|[^\x20-\x7e]/u.test(word)))
    .map((word) => stemmer(word));
}

interface Candidate extends ExtractedSentence {
  readonly position: number;
  readonly terms: ReadonlySet<string>;
}

/**
 * Three to six sentences (fewer when there are not more) that share terms with the question, rare terms counting more
 * and earlier passages a little more, in the order of the passages. None when no sentence shares a term.
 */
export function extractAnswer(question: string, passages: readonly Passage[]): ExtractedSentence[] {
  const candidates = passages.flatMap(toCandidates);
  const wanted = new Set(termsOf(question));
  const weights = new Map([...wanted].map((term) => [term, weightOf(term, candidates)]));
  const scored = candidates
    .map((candidate) => ({ candidate, score: scoreOf(candidate, weights) }))
    .filter(({ score }) => score > 0)
    .sort(
      (a, b) =>
        b.score - a.score || a.candidate.number - b.candidate.number || a.candidate.position - b.candidate.position,
    );
  return chooseDistinct(scored)
    .sort((a, b) => a.number - b.number || a.position - b.position)
    .map(({ number, text }) => ({ number, text }));
}

function toCandidates({ number, text, title = "" }: Passage): Candidate[] {
  const titleWords = wordsOf(title).join(" ");
  return splitSentences(text).flatMap((sentence, position) => {
    const words = wordsOf(sentence);
    const isSentence = words.length >= MIN_WORDS && words.length <= MAX_WORDS && words.join(" ") !== titleWords;
    return isSentence ? [{ number, position, text: tidy(sentence), terms: new Set(termsOf(sentence)) }] : [];
  });
}

/** A sentence on one line, with a capital at its start and a stop at its end. */
function tidy(sentence: string): string {
  const line = sentence
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ (?=[.,;:!?)])/g, "")
    .trim();
  const capital = line.replace(/^\p{Ll}/u, (letter) => letter.toUpperCase());
  return /[.!?]["')\]]?$/.test(capital) ? capital : `${capital}.`;
}

/** Inverse document frequency over the sentences at hand, never zero. */
function weightOf(term: string, candidates: readonly Candidate[]): number {
  const holders = candidates.filter(({ terms }) => terms.has(term)).length;
  return Math.log(1 + candidates.length / (1 + holders));
}

function scoreOf({ terms, number }: Candidate, weights: ReadonlyMap<string, number>): number {
  let matched = 0;
  for (const [term, weight] of weights) if (terms.has(term)) matched += weight;
  const lengthPenalty = 1 + Math.log(1 + terms.size / 20);
  return matched / lengthPenalty / (1 + 0.08 * (number - 1));
}

function chooseDistinct(scored: readonly { readonly candidate: Candidate; readonly score: number }[]): Candidate[] {
  const best = scored[0]?.score ?? 0;
  const chosen: Candidate[] = [];
  for (const { candidate, score } of scored) {
    if (chosen.length >= MAX_SENTENCES || (chosen.length >= MIN_SENTENCES && score < best * WORTH_ADDING)) break;
    if (chosen.every((other) => overlapOf(other.terms, candidate.terms) <= SAME_CONTENT)) chosen.push(candidate);
  }
  return chosen;
}

function overlapOf(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const shared = [...a].filter((term) => b.has(term)).length;
  return shared / Math.max(1, a.size + b.size - shared);
}
