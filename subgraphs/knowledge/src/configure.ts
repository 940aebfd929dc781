import { useBlobStore } from "@sba/platform/blobs";
import type { Config } from "@sba/platform/config";
import { useEmbedder } from "./embedding/embedder.ts";
import { localEmbedder } from "./embedding/embedding.local.ts";
import { openaiEmbedder } from "./embedding/embedding.openai.ts";
import { useUploadLimits } from "./upload/upload.ts";

/**
 * Sets what this domain takes from the configuration; called once by every process that runs it, before it serves. Trained
 * embeddings need a key and a model by name: a gateway that only chats must not be asked for what it does not have.
 */
export async function configureKnowledge(config: Config): Promise<void> {
  const { OPENAI_API_KEY: apiKey, OPENAI_BASE_URL: baseUrl, OPENAI_EMBEDDING_MODEL: model } = config;
  useEmbedder(apiKey === undefined || model === undefined ? localEmbedder : openaiEmbedder({ apiKey, baseUrl, model }));
  useUploadLimits({ maxBytes: config.UPLOAD_MAX_BYTES, maxPending: config.UPLOAD_MAX_PENDING });
  await useBlobStore(config);
}
