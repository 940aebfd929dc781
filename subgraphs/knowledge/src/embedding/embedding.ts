import { localEmbedder } from "./embedding.local.ts";

/** Text as a point in space: what means alike lies near. One model a process; chunks of another are found by their words. */

export interface Embedder {
  /** Names the space: vectors of different models are never compared. */
  readonly model: string;
  /** How much of a hit's score is the similarity of vectors, 0 to 1; the rest is BM25. */
  readonly weight: number;
  /** Similarities up to this are chance and count as none. */
  readonly similarityFloor: number;
  /** One vector of length 1 for each text, in order. @throws KNOWLEDGE_EMBEDDING_FAILED */
  embed(texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]>;
}

let current: Embedder = localEmbedder;

/** Sets the model of this process, before it serves; without a call it is the built-in local one. */
export function useEmbedder(embedder: Embedder): void {
  current = embedder;
}

export function embedder(): Embedder {
  return current;
}
