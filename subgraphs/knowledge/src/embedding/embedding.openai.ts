import { setTimeout as pause } from "node:timers/promises";
import { limitedFetch } from "@sba/platform/egress";
import { z } from "zod";
import { errors } from "../errors.ts";
import type { Embedder } from "./embedding.ts";
import { normalise } from "./vector.ts";

/** Embeddings from any endpoint that speaks OpenAI's (https://platform.openai.com/docs/api-reference/embeddings). */

export interface OpenAiEmbeddingOptions {
  readonly apiKey: string;
  /** With the version, as `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  readonly model: string;
  /** Between attempts, doubled each time; 500 by default. */
  readonly backoffMs?: number;
}

/** Texts of one request. The API takes 2,048; answers of long vectors stay below egress's limit with fewer. */
const BATCH_SIZE = 64;
/** A chunk has 1,500 characters and its titles at most a few thousand: models take 8,191 tokens, of 1 character at worst. */
const MAX_CHARACTERS = 8_000;
const ATTEMPTS = 3;
const LIMITS = { timeoutMs: 30_000, maxBytes: 32 * 1024 * 1024 };
const RETRYABLE_STATUS = new Set([408, 409, 429]);

const answerSchema = z.object({
  data: z.array(z.object({ index: z.int().min(0), embedding: z.array(z.number()).min(1) })),
});

/** An embedder of meaning: half of a hit's score (Bruch et al. 2023 find 0.5 to 0.8 best for trained models). */
export function openaiEmbedder(options: OpenAiEmbeddingOptions): Embedder {
  return {
    model: `openai/${options.model}`,
    weight: 0.5,
    similarityFloor: 0,
    embed: async (texts, signal) => {
      const vectors: Float32Array[] = [];
      for (let at = 0; at < texts.length; at += BATCH_SIZE) {
        const batch = texts.slice(at, at + BATCH_SIZE).map((text) => text.slice(0, MAX_CHARACTERS).toWellFormed());
        vectors.push(...(await embedBatch(options, batch, signal)));
      }
      return vectors;
    },
  };
}

async function embedBatch(
  options: OpenAiEmbeddingOptions,
  texts: readonly string[],
  signal: AbortSignal,
): Promise<Float32Array[]> {
  for (let attempt = 1; ; attempt++) {
    const response = await request(options, texts, signal).catch((error: unknown) => failed("no answer", true, error));
    if (response instanceof Response && response.ok) return readVectors(response, texts.length);
    const failure = response instanceof Response ? await refused(response) : response;
    if (!failure.retryable || attempt >= ATTEMPTS || signal.aborted) throw failure;
    await pause((options.backoffMs ?? 500) * 2 ** (attempt - 1), undefined, { signal });
  }
}

function request(
  { apiKey, baseUrl, model }: OpenAiEmbeddingOptions,
  input: readonly string[],
  signal: AbortSignal,
): Promise<Response> {
  return limitedFetch(LIMITS)(`${baseUrl.replace(/\/$/, "")}/embeddings`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model, input, encoding_format: "float" }),
    signal,
  });
}

async function refused(response: Response) {
  await response.body?.cancel();
  return failed(`status ${response.status}`, response.status >= 500 || RETRYABLE_STATUS.has(response.status));
}

function failed(reason: string, retryable: boolean, cause?: unknown) {
  return errors.KNOWLEDGE_EMBEDDING_FAILED({ details: { reason }, retryable, cause });
}

async function readVectors(response: Response, count: number): Promise<Float32Array[]> {
  const parsed = answerSchema.safeParse(await response.json().catch(() => undefined));
  if (!parsed.success) throw failed("unreadable answer", false);
  const vectors = parsed.data.data
    .toSorted((a, b) => a.index - b.index)
    .map(({ embedding }) => normalise(Float32Array.from(embedding)));
  if (vectors.length !== count || vectors.some(({ length }) => length !== vectors[0]?.length))
    throw failed("wrong number of vectors", false);
  return vectors;
}
