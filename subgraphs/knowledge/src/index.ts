/** The face of knowledge: collections of documents, their ingestion, and finding what answers a question in them. */
export {
  createCollection,
  deleteCollection,
  findCollections,
  getCollection,
  listCollections,
  type Collection,
  type CreateCollectionInput,
} from "./collection/collection.ts";
export { purgeRemoved } from "./collection/purge.ts";
export { findChunks, findDocuments, getDocument, type Chunk, type Document } from "./document/document.ts";
export { removeDocuments, type RemoveDocumentsInput } from "./document/remove.ts";
export { configureKnowledge } from "./configure.ts";
export { addDocuments, getIngestion, type AddDocumentsInput, type Ingestion } from "./ingestion/ingestion.ts";
export { resumeIngestions } from "./ingestion/resume.ts";
export { runIngestion, type RunIngestionOptions } from "./ingestion/run-ingestion.ts";
export type { DocumentInput } from "./ingestion/submission.ts";
export { searchKnowledge, type Hit, type SearchInput } from "./retrieval/retrieval.ts";
export { knowledgeTools } from "./tools/index.ts";
export { forgetUploads } from "./upload/forget.ts";
export { createUpload, type CreateUploadInput, type Upload } from "./upload/upload.ts";
