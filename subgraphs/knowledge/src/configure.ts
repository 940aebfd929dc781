import type { Config } from "@sba/platform/config";
import { useEmbedder } from "./embedding/embedder.ts";
import { localEmbedder } from "./embedding/embedding.local.ts";
import { openaiEmbedder } from "./embedding/embedding.openai.ts";

type EmbeddingConfig = Pick<Config, "OPENAI_API_KEY" | "OPENAI_BASE_URL" | "OPENAI_EMBEDDING_MODEL">;

/**
 * Sets what this domain takes from the configuration; called once by every process that runs it, before it serves. Trained
 * embeddings need a key and a model by name: a gateway that only chats must not be asked for what it does not have.
 */
export function configureKnowledge(config: EmbeddingConfig): void {
  const { OPENAI_API_KEY: apiKey, OPENAI_BASE_URL: baseUrl, OPENAI_EMBEDDING_MODEL: model } = config;
  useEmbedder(apiKey === undefined || model === undefined ? localEmbedder : openaiEmbedder({ apiKey, baseUrl, model }));
}
