-- Files on their way to becoming documents, and then the documents' own bytes. The bytes are in the blob store, under the row's id.
CREATE TABLE "knowledge"."upload" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "file_name" TEXT NOT NULL,
    "media_type" TEXT NOT NULL,
    "size_bytes" INTEGER NOT NULL,
    "sha256" TEXT,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(6) NOT NULL,
    "stored_at" TIMESTAMPTZ(6),
    "used_at" TIMESTAMPTZ(6),
    "forget_at" TIMESTAMPTZ(6),

    CONSTRAINT "upload_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "upload_size_bytes_check" CHECK ("size_bytes" > 0)
);
CREATE INDEX "upload_forget_at_idx" ON "knowledge"."upload"("forget_at") WHERE "forget_at" IS NOT NULL;
CREATE INDEX "upload_tenant_id_expires_at_idx" ON "knowledge"."upload"("tenant_id", "expires_at") WHERE "used_at" IS NULL;
CALL platform.protect_table('knowledge.upload');

ALTER TABLE "knowledge"."source" ADD COLUMN "upload_id" UUID;
CREATE INDEX "source_tenant_id_upload_id_idx" ON "knowledge"."source"("tenant_id", "upload_id") WHERE "upload_id" IS NOT NULL;
ALTER TABLE "knowledge"."source" ADD CONSTRAINT "source_tenant_id_upload_id_fkey" FOREIGN KEY ("tenant_id", "upload_id") REFERENCES "knowledge"."upload"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- Where a chunk begins in its document's text; null for what was indexed before this was kept.
ALTER TABLE "knowledge"."chunk" ADD COLUMN "start_offset" INTEGER;
