-- Documents that are on their way or failed are few: they are counted, and listed, by an index of their own.
CREATE INDEX "document_tenant_id_collection_id_status_id_idx" ON "knowledge"."document"("tenant_id", "collection_id", "status", "id") WHERE "status" <> 'READY';

-- The last ingestion of a collection.
DROP INDEX "knowledge"."ingestion_tenant_id_collection_id_idx";
CREATE INDEX "ingestion_tenant_id_collection_id_id_idx" ON "knowledge"."ingestion"("tenant_id", "collection_id", "id");
