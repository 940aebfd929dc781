import { loadConfig } from "@sba/platform/config";
import { afterEach, expect, test } from "vitest";
import { configureKnowledge } from "./configure.ts";
import { embedder } from "./embedding/embedder.ts";
import { uploadLimits } from "./upload/upload.ts";

const configure = (environment: Record<string, string> = {}): Promise<void> =>
  configureKnowledge(loadConfig({ OPENAI_BASE_URL: "https://api.example/v1", ...environment }));

afterEach(() => configure());

test("embeds with the model that is named, when there is a key for it", async () => {
  await configure({ OPENAI_API_KEY: "k", OPENAI_EMBEDDING_MODEL: "text-embedding-3-small" });
  expect(embedder().model).toBe("openai/text-embedding-3-small");
});

test("embeds by itself without a key, or without a model", async () => {
  await configure({ OPENAI_API_KEY: "k" });
  expect(embedder().model).toMatch(/^local/);
  await configure({ OPENAI_EMBEDDING_MODEL: "m" });
  expect(embedder().model).toMatch(/^local/);
});

test("takes uploads as large, and as many at a time, as is configured", async () => {
  await configure({ UPLOAD_MAX_BYTES: "5000000", UPLOAD_MAX_PENDING: "7" });
  expect(uploadLimits()).toEqual({ maxBytes: 5_000_000, maxPending: 7 });
});
