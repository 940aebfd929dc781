import { encodeId, decodeId } from "@sba/platform/ids";
import { defineTool } from "@sba/integrations/index";
import { z } from "zod";
import { searchKnowledge } from "../retrieval/retrieval.ts";

const hit = z.object({
  number: z.int().describe("To cite the hit by, from 1."),
  documentId: z.string(),
  chunkId: z.string(),
  title: z.string(),
  text: z.string(),
  score: z.number(),
});

/** Looks things up in the tenant's own documents. */
export const knowledgeSearch = defineTool({
  name: "knowledge.search",
  version: 1,
  description:
    "Finds passages in the organisation's own documents that answer a question. Cite the hits that you use by their numbers.",
  params: z.object({
    query: z.string().trim().min(1).max(4_000).describe("What to look for: a question or key words."),
    topK: z.int().min(1).max(20).default(5).describe("How many documents to return."),
    collectionIds: z
      .array(z.string().max(64))
      .max(100)
      .optional()
      .describe("Search only these collections; all of them when left out."),
  }),
  result: z.object({ hits: z.array(hit) }),
  example: { query: "What is the notice period?", topK: 5 },
  requires: ["knowledge:read"],
  approval: "NEVER",
  sideEffect: false,
  idempotent: true,
  timeoutMs: 10_000,
  execute: async ({ caller }, { query, topK, collectionIds }) => {
    const ids = collectionIds?.map((id) => decodeId("Collection", id));
    const hits = await searchKnowledge(caller, { query, topK, collectionIds: ids });
    return {
      hits: hits.map(({ rank, score, chunk, document }) => ({
        number: rank,
        documentId: encodeId("Document", document.id),
        chunkId: encodeId("Chunk", chunk.id),
        title: document.title,
        text: chunk.text,
        score,
      })),
    };
  },
});
