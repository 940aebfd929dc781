import type { Embedder } from "./embedding.ts";
import { localEmbedder } from "./embedding.local.ts";

let current: Embedder = localEmbedder;

/** Sets the model of this process, before it serves; without a call it is the built-in local one. */
export function useEmbedder(embedder: Embedder): void {
  current = embedder;
}

export function embedder(): Embedder {
  return current;
}
