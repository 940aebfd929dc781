import { callerOf } from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { ChunkRef, DocumentRef } from "../document/document.graphql.ts";
import { MAX_COLLECTIONS, MAX_QUERY_LENGTH, MAX_TOP_K, searchKnowledge, type Hit } from "./retrieval.ts";
import { findTerms, termsOf, type TextRange } from "./terms.ts";

interface ShownHit extends Hit {
  /** Of the query. */
  readonly terms: ReadonlySet<string>;
}

const TextRangeRef = builder.objectRef<TextRange>("TextRange").implement({
  description: "A part of a text, in UTF-16 code units: what JavaScript's `slice` counts.",
  fields: (t) => ({ start: t.exposeInt("start"), length: t.exposeInt("length") }),
});

const HitRef = builder.objectRef<ShownHit>("KnowledgeHit").implement({
  description: "A document that may answer the query, and its best passage.",
  fields: (t) => ({
    score: t.exposeFloat("score", { description: "0 to 1, comparable within one search." }),
    rank: t.exposeInt("rank", { description: "1 for the best." }),
    chunk: t.field({ type: ChunkRef, resolve: ({ chunk, document }) => ({ ...chunk, documentId: document.id }) }),
    document: t.field({ type: DocumentRef, resolve: ({ document }) => document }),
    highlights: t.field({
      type: [TextRangeRef],
      description:
        "Where the passage's text has words of the query, in any of their forms. In order, without overlaps.",
      resolve: ({ chunk, terms }) => findTerms(chunk.text, terms),
    }),
  }),
});

const SearchKnowledgePayload = builder
  .objectRef<{ readonly hits: readonly ShownHit[] }>("SearchKnowledgePayload")
  .implement({
    fields: (t) => ({ hits: t.field({ type: [HitRef], resolve: ({ hits }) => hits }) }),
  });

const SearchKnowledgeInput = builder.inputType("SearchKnowledgeInput", {
  fields: (t) => ({
    query: t.string({ required: true, validate: { minLength: 1, maxLength: MAX_QUERY_LENGTH } }),
    collectionIds: t.idList({
      description: "All collections when left out.",
      validate: { maxLength: MAX_COLLECTIONS, items: { maxLength: 64 } },
    }),
    topK: t.int({ defaultValue: 10, validate: { min: 1, max: MAX_TOP_K } }),
  }),
});

builder.queryField("searchKnowledge", (t) =>
  t.field({
    type: SearchKnowledgePayload,
    description: "The documents that answer a question best, by words and by meaning.",
    authScopes: { permission: "knowledge:read" },
    // It looks at every document of the tenant, whatever it finds.
    cost: 10,
    listSize: { assumedSize: MAX_TOP_K, sizedFields: ["hits"] },
    args: { input: t.arg({ type: SearchKnowledgeInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const terms = new Set(termsOf(input.query));
      const hits = await searchKnowledge(callerOf(context), {
        query: input.query,
        collectionIds: input.collectionIds?.map((id) => decodeId("Collection", id)),
        topK: input.topK ?? 10,
      });
      return { hits: hits.map((hit) => ({ ...hit, terms })) };
    },
  }),
);
