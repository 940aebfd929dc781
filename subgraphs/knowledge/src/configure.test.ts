import { afterEach, expect, test } from "vitest";
import { configureKnowledge } from "./configure.ts";
import { embedder } from "./embedding/embedder.ts";

const OPENAI_BASE_URL = "https://api.example/v1";

afterEach(() => {
  configureKnowledge({ OPENAI_BASE_URL, OPENAI_API_KEY: undefined, OPENAI_EMBEDDING_MODEL: undefined });
});

test("embeds with the model that is named, when there is a key for it", () => {
  configureKnowledge({ OPENAI_BASE_URL, OPENAI_API_KEY: "k", OPENAI_EMBEDDING_MODEL: "text-embedding-3-small" });
  expect(embedder().model).toBe("openai/text-embedding-3-small");
});

test("embeds by itself without a key, or without a model", () => {
  configureKnowledge({ OPENAI_BASE_URL, OPENAI_API_KEY: "k", OPENAI_EMBEDDING_MODEL: undefined });
  expect(embedder().model).toMatch(/^local/);
  configureKnowledge({ OPENAI_BASE_URL, OPENAI_API_KEY: undefined, OPENAI_EMBEDDING_MODEL: "m" });
  expect(embedder().model).toMatch(/^local/);
});
