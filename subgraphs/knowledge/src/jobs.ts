import { defineJob } from "@sba/platform/jobs";
import { z } from "zod";

/** Ingests what is still pending of one ingestion; `runIngestion` does it. */
export const advanceIngestion = defineJob("knowledge.ingestion.advance", z.object({ ingestionId: z.uuid() }), {
  queue: "knowledge",
});
