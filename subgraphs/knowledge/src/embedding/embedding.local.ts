import { countTerms, termsOf } from "../retrieval/terms.ts";
import type { Embedder } from "./embedding.ts";
import { normalise } from "./vector.ts";

/**
 * The built-in embedder: no weights, no network, the same vector everywhere. Words and their pieces of four letters are
 * hashed to a few signed coordinates each (feature hashing, Weinberger et al. 2009, https://arxiv.org/abs/0902.2206), so
 * that words spelt alike lie near. It knows no meaning: its share of a score is small, and it finds what is misspelt.
 */
const DIMENSIONS = 256;
const COORDINATES_PER_FEATURE = 4;
const PIECE_LENGTH = 4;
const PIECES_WEIGHT = 1;
/** Shorter words say less: the nearest thing to an inverse document frequency that needs no corpus. */
const FULL_WEIGHT_LENGTH = 8;

export const localEmbedder: Embedder = {
  model: `local-1/${DIMENSIONS}`,
  weight: 0.2,
  similarityFloor: 0.2,
  embed: (texts) => Promise.resolve(texts.map(embedText)),
};

function embedText(text: string): Float32Array {
  const vector = new Float32Array(DIMENSIONS);
  for (const [term, count] of countTerms(termsOf(text))) {
    const weight = 1 + Math.log(count);
    const sketch = sketchOf(term);
    for (let i = 0; i < sketch.length; i += 2) {
      const at = sketch[i] ?? 0;
      vector[at] = (vector[at] ?? 0) + weight * (sketch[i + 1] ?? 0);
    }
  }
  return normalise(vector);
}

/** A term's coordinates and their values, alternating. */
type Sketch = Float32Array;

const sketches = new Map<string, Sketch>();
const MAX_CACHED_SKETCHES = 20_000;

function sketchOf(term: string): Sketch {
  let known = sketches.get(term);
  if (known === undefined) {
    known = drawSketch(term);
    if (sketches.size >= MAX_CACHED_SKETCHES) sketches.clear();
    sketches.set(term, known);
  }
  return known;
}

function drawSketch(term: string): Sketch {
  const weight = Math.min(term.length, FULL_WEIGHT_LENGTH) / FULL_WEIGHT_LENGTH;
  const framed = `^${term}$`;
  const entries = draw(`w${term}`, weight);
  for (let i = 0; i + PIECE_LENGTH <= framed.length; i++) {
    entries.push(...draw(framed.slice(i, i + PIECE_LENGTH), (PIECES_WEIGHT * weight) / Math.sqrt(framed.length)));
  }
  return Float32Array.from(entries);
}

function draw(feature: string, weight: number): number[] {
  const entries: number[] = [];
  for (let seed = 0; seed < COORDINATES_PER_FEATURE; seed++) {
    const value = hash(feature, seed);
    entries.push(value % DIMENSIONS, value >= 0x8000_0000 ? weight : -weight);
  }
  return entries;
}

/** FNV-1a with the final mix of MurmurHash3: its low and its high bits are independent enough for place and sign. */
function hash(text: string, seed: number): number {
  let value = 0x811c_9dc5 ^ Math.imul(seed + 1, 0x9e37_79b1);
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x0100_0193);
  value = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2_ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
