import type { Section } from "../document/document.text.ts";

/** Cuts sections into chunks: at headings and between sentences, each beginning with the last sentences of the one before. */

export interface ChunkText {
  readonly headings: readonly string[];
  readonly text: string;
  /** Where it begins in the document's text: its sections with blank lines between them, in UTF-16 code units. */
  readonly start: number;
}

/** Measured on the Cranfield set: 1,200 to 2,000 characters rank alike, 800 worse. */
const TARGET_LENGTH = 1_500;
const OVERLAP_LENGTH = 200;
/** A heading ends a chunk of at least this length; shorter sections share one. */
const MIN_LENGTH = 500;
/** Between sections. */
const JOINT = "\n\n";

// The end of a sentence: a full stop and white space, a stop of a script that writes none, or a blank line.
const SENTENCE = /[\s\S]+?(?:[.!?…]["'”’)\]]*\s+|[。！？]["'”’」』]*\s*|\n\s*\n\s*|$)/gu;

/** The chunks of a document in order; none when it has no text. */
export function splitIntoChunks(sections: readonly Section[]): ChunkText[] {
  const chunks: ChunkText[] = [];
  let current = emptyDraft([]);
  let at = 0;
  const close = (): void => {
    if (!current.isFresh) return;
    const text = current.sentences.join("");
    const start = at - text.length + (text.length - text.trimStart().length);
    chunks.push({ headings: current.headings, text: text.trim(), start });
  };
  for (const section of sections) {
    const isNew = current.length >= MIN_LENGTH || !current.isFresh;
    if (isNew) {
      close();
      current = emptyDraft(section.headings);
    }
    if (at > 0) at += JOINT.length;
    if (!isNew) add(current, JOINT);
    for (const sentence of sentencesOf(section.text)) {
      if (current.isFresh && current.length + sentence.length > TARGET_LENGTH) {
        close();
        current = overlapping(current, section.headings);
      }
      add(current, sentence);
      at += sentence.length;
      current.isFresh = true;
    }
  }
  close();
  return chunks;
}

interface Draft {
  readonly headings: readonly string[];
  readonly sentences: string[];
  length: number;
  /** Holds something that no chunk before holds. */
  isFresh: boolean;
}

function emptyDraft(headings: readonly string[]): Draft {
  return { headings, sentences: [], length: 0, isFresh: false };
}

function add(draft: Draft, sentence: string): void {
  draft.sentences.push(sentence);
  draft.length += sentence.length;
}

/** The next draft, with the last whole sentences of the one before that fit into the overlap. */
function overlapping(before: Draft, headings: readonly string[]): Draft {
  let first = before.sentences.length;
  let length = 0;
  while (first > 0) {
    const next = before.sentences[first - 1]?.length ?? 0;
    if (length + next > OVERLAP_LENGTH) break;
    length += next;
    first -= 1;
  }
  return { headings, sentences: before.sentences.slice(first), length, isFresh: false };
}

/** Sentences with the white space that follows them; one that is longer than a chunk comes in pieces. */
function* sentencesOf(text: string): Generator<string> {
  for (const [sentence] of text.matchAll(SENTENCE)) {
    let rest = sentence;
    while (rest.length > TARGET_LENGTH) {
      const cut = cutBefore(rest, TARGET_LENGTH);
      yield rest.slice(0, cut);
      rest = rest.slice(cut);
    }
    if (rest !== "") yield rest;
  }
}

/** After the last white space before `limit`, if it is not too far back; never inside a character. */
function cutBefore(text: string, limit: number): number {
  for (let at = limit; at > limit / 2; at--) if (/\s/.test(text[at - 1] ?? "")) return at;
  return /[\uD800-\uDBFF]/.test(text[limit - 1] ?? "") ? limit - 1 : limit;
}
