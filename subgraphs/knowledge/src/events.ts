import { defineEvent, streamOf } from "@sba/platform/events";
import { z } from "zod";
import { INGESTION_STATUSES } from "./ingestion/ingestion.state.ts";

/** An ingestion as of an event: what its readers are shown. */
const snapshot = z.object({
  id: z.uuid(),
  status: z.enum(INGESTION_STATUSES),
  documentsTotal: z.number().int(),
  documentsReady: z.number().int(),
  documentsFailed: z.number().int(),
  failures: z.array(z.object({ documentId: z.uuid(), title: z.string(), message: z.string() })),
});

export type IngestionSnapshot = z.infer<typeof snapshot>;

const payload = z.object({ ingestion: snapshot });

export const ingestionCreated = defineEvent({
  type: "knowledge.ingestion.created",
  version: 1,
  description: "Documents were accepted and wait to be ingested.",
  payload,
});

export const ingestionProgressed = defineEvent({
  type: "knowledge.ingestion.progressed",
  version: 1,
  description: "Some documents of an ingestion became searchable, or failed; others are still to come.",
  payload,
});

export const ingestionEnded = defineEvent({
  type: "knowledge.ingestion.ended",
  version: 1,
  description: "Every document of an ingestion is searchable or has failed. The last event of its stream.",
  payload,
});

export const documentsRemoved = defineEvent({
  type: "knowledge.documents.removed",
  version: 1,
  description: "Documents were removed from a collection; no search finds them any more.",
  payload: z.object({ collectionId: z.uuid(), documentIds: z.array(z.uuid()) }),
});

export const collectionDeleted = defineEvent({
  type: "knowledge.collection.deleted",
  version: 1,
  description: "A collection was deleted with all its documents. The last event of its stream.",
  payload: z.object({ collectionId: z.uuid() }),
});

/** The stream of one collection. */
export function collectionStream(collectionId: string): string {
  return streamOf("collection", collectionId);
}

/** The stream of one ingestion. */
export function ingestionStream(ingestionId: string): string {
  return streamOf("ingestion", ingestionId);
}
