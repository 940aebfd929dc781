import { SearchKnowledgeDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { useSystem } from "../story.ts";
import { askTheHandbook, QUESTION } from "./main-job.ts";

const story = useSystem();

describe("ask the handbook, all in one", () => {
  it("answers from 1,400 real documents, streamed, cited, written down and metered", async () => {
    await askTheHandbook({ user: story().client("operator"), partner: story().client("partner"), question: QUESTION });
  });

  it("finds the documents that experts judged relevant", async () => {
    const { searchKnowledge } = await story()
      .client("viewer")
      .query(SearchKnowledgeDocument, { query: QUESTION, topK: 10 });
    const found = searchKnowledge.hits.map(({ document }) => document.externalId);
    // Of the judgements of query 1 in prisma/data/cranfield.
    expect(
      found.filter((id) => ["184", "29", "31", "12", "51", "102", "13"].includes(id ?? "")).length,
    ).toBeGreaterThanOrEqual(3);
  });
});
