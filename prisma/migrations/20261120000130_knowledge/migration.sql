CREATE SCHEMA IF NOT EXISTS "knowledge";
CALL platform.protect_schema('knowledge');

CREATE TABLE "knowledge"."collection" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "document_count" INTEGER NOT NULL DEFAULT 0,
    "chunk_count" INTEGER NOT NULL DEFAULT 0,
    "term_count" BIGINT NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(6),

    CONSTRAINT "collection_pkey" PRIMARY KEY ("tenant_id","id")
);
CREATE INDEX "collection_deleted_at_idx" ON "knowledge"."collection"("deleted_at") WHERE "deleted_at" IS NOT NULL;

CREATE TABLE "knowledge"."document" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "collection_id" UUID NOT NULL,
    "identity" TEXT NOT NULL,
    "external_id" TEXT,
    "title" TEXT NOT NULL,
    "uri" TEXT,
    "media_type" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "warning" TEXT,
    "failure" TEXT,
    "revision" INTEGER NOT NULL,
    "indexed_revision" INTEGER NOT NULL DEFAULT 0,
    "indexed_hash" TEXT,
    "chunk_count" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "removed_at" TIMESTAMPTZ(6),

    CONSTRAINT "document_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "document_status_check" CHECK ("status" IN ('PENDING', 'READY', 'FAILED'))
);
CREATE UNIQUE INDEX "document_tenant_id_collection_id_identity_key" ON "knowledge"."document"("tenant_id", "collection_id", "identity");
CREATE INDEX "document_removed_at_idx" ON "knowledge"."document"("removed_at") WHERE "removed_at" IS NOT NULL;
CREATE INDEX "document_tenant_id_collection_id_id_idx" ON "knowledge"."document"("tenant_id", "collection_id", "id");
ALTER TABLE "knowledge"."document" ADD CONSTRAINT "document_tenant_id_collection_id_fkey" FOREIGN KEY ("tenant_id", "collection_id") REFERENCES "knowledge"."collection"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CREATE TABLE "knowledge"."ingestion" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "collection_id" UUID NOT NULL,
    "status" TEXT NOT NULL,
    "documents_total" INTEGER NOT NULL,
    "documents_ready" INTEGER NOT NULL DEFAULT 0,
    "documents_failed" INTEGER NOT NULL DEFAULT 0,
    "created_by" UUID NOT NULL,
    "created_by_kind" TEXT NOT NULL,
    "due_at" TIMESTAMPTZ(6) DEFAULT CURRENT_TIMESTAMP,
    "lease_expires_at" TIMESTAMPTZ(6),
    "fence" INTEGER NOT NULL DEFAULT 0,
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "woken_at" TIMESTAMPTZ(6),
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "ended_at" TIMESTAMPTZ(6),

    CONSTRAINT "ingestion_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "ingestion_status_check" CHECK ("status" IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED')),
    CONSTRAINT "ingestion_count_check" CHECK ("documents_ready" + "documents_failed" <= "documents_total")
);
CREATE INDEX "ingestion_tenant_id_collection_id_idx" ON "knowledge"."ingestion"("tenant_id", "collection_id");
CREATE INDEX "ingestion_due_at_idx" ON "knowledge"."ingestion"("due_at") WHERE "due_at" IS NOT NULL;
ALTER TABLE "knowledge"."ingestion" ADD CONSTRAINT "ingestion_tenant_id_collection_id_fkey" FOREIGN KEY ("tenant_id", "collection_id") REFERENCES "knowledge"."collection"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CREATE TABLE "knowledge"."source" (
    "tenant_id" UUID NOT NULL,
    "ingestion_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "document_id" UUID NOT NULL,
    "revision" INTEGER NOT NULL,
    "title" TEXT NOT NULL,
    "uri" TEXT,
    "media_type" TEXT NOT NULL,
    "content_hash" TEXT NOT NULL,
    "text" TEXT,
    "status" TEXT NOT NULL,
    "outcome" TEXT,
    "failure" TEXT,

    CONSTRAINT "source_pkey" PRIMARY KEY ("tenant_id","ingestion_id","number"),
    CONSTRAINT "source_status_check" CHECK ("status" IN ('PENDING', 'READY', 'FAILED'))
);
CREATE INDEX "source_tenant_id_document_id_idx" ON "knowledge"."source"("tenant_id", "document_id");
ALTER TABLE "knowledge"."source" ADD CONSTRAINT "source_tenant_id_ingestion_id_fkey" FOREIGN KEY ("tenant_id", "ingestion_id") REFERENCES "knowledge"."ingestion"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "knowledge"."source" ADD CONSTRAINT "source_tenant_id_document_id_fkey" FOREIGN KEY ("tenant_id", "document_id") REFERENCES "knowledge"."document"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CREATE TABLE "knowledge"."chunk" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "collection_id" UUID NOT NULL,
    "document_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "headings" TEXT[],
    "text" TEXT NOT NULL,
    "terms" TEXT[],
    "term_count" INTEGER NOT NULL,

    CONSTRAINT "chunk_pkey" PRIMARY KEY ("tenant_id","id")
);
CREATE UNIQUE INDEX "chunk_tenant_id_document_id_number_key" ON "knowledge"."chunk"("tenant_id", "document_id", "number");
ALTER TABLE "knowledge"."chunk" ADD CONSTRAINT "chunk_tenant_id_document_id_fkey" FOREIGN KEY ("tenant_id", "document_id") REFERENCES "knowledge"."document"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- No foreign key to the chunk: a check for each of its hundred postings would cost more than the postings, and all three
-- tables are written and removed together (src/chunk/chunk-index.ts).
CREATE TABLE "knowledge"."posting" (
    "tenant_id" UUID NOT NULL,
    "collection_id" UUID NOT NULL,
    "term" TEXT COLLATE "C" NOT NULL,
    "chunk_id" UUID NOT NULL,
    "frequency" SMALLINT NOT NULL,
    "chunk_term_count" INTEGER NOT NULL,

    -- A search reads the index alone.
    CONSTRAINT "posting_pkey" PRIMARY KEY ("tenant_id","collection_id","term","chunk_id") INCLUDE ("frequency","chunk_term_count")
);

CREATE TABLE "knowledge"."embedding" (
    "tenant_id" UUID NOT NULL,
    "collection_id" UUID NOT NULL,
    "model" TEXT NOT NULL,
    "chunk_id" UUID NOT NULL,
    "bits" VARBIT NOT NULL,
    "vector" REAL[],

    -- The scan over the bits reads the index alone.
    CONSTRAINT "embedding_pkey" PRIMARY KEY ("tenant_id","collection_id","model","chunk_id") INCLUDE ("bits")
);
-- Floats do not compress.
ALTER TABLE "knowledge"."embedding" ALTER COLUMN "vector" SET STORAGE EXTERNAL;

CALL platform.protect_table('knowledge.collection');
CALL platform.protect_table('knowledge.document');
CALL platform.protect_table('knowledge.ingestion');
CALL platform.protect_table('knowledge.source');
CALL platform.protect_table('knowledge.chunk');
CALL platform.protect_table('knowledge.posting');
CALL platform.protect_table('knowledge.embedding');

-- The questions of vector search: `distance` orders every chunk (smaller is nearer), `likeness` is the similarity that a
-- distance suggests, and `similarity` the exact cosine of two vectors of length 1, for the best only. All are inlined into the
-- search, `similarity` because it gives a set: a scalar function with a subquery is not. With pgvector all are exact;
-- without it the distance is that of the signs, one population count a chunk, and its likeness Goemans and Williamson's
-- (1995): two vectors' signs differ as often as their angle is of a half turn.
-- CALL knowledge.use_best_vectors() again after installing pgvector: no row changes, and no code.
CREATE PROCEDURE knowledge.use_best_vectors() LANGUAGE plpgsql AS $procedure$
DECLARE
  home text;
BEGIN
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    BEGIN
      CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE NOTICE 'pgvector is available but may not be created by this role; vectors are searched natively';
    END;
  END IF;
  SELECT quote_ident(nspname) INTO home FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector';
  IF home IS NULL THEN
    CREATE OR REPLACE FUNCTION knowledge.distance(bits varbit, vector real[], query_bits varbit, query_vector real[])
      RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT bit_count(bits # query_bits)::float8';
    CREATE OR REPLACE FUNCTION knowledge.likeness(distance float8, dimensions int)
      RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT cos(pi() * distance / dimensions)';
    -- Both unnested in the select list: as a function in FROM they would be stored first, which takes twice as long.
    CREATE OR REPLACE FUNCTION knowledge.similarity(vector real[], query_vector real[])
      RETURNS SETOF float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1 AS
      'SELECT sum(a * b)::float8 FROM (SELECT unnest(vector) AS a, unnest(query_vector) AS b) AS pair';
  ELSE
    -- <#> is the negative inner product: https://github.com/pgvector/pgvector#vector-operators
    EXECUTE format($sql$CREATE OR REPLACE FUNCTION knowledge.distance(bits varbit, vector real[], query_bits varbit, query_vector real[])
      RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
      'SELECT vector::%1$s.vector OPERATOR(%1$s.<#>) query_vector::%1$s.vector'$sql$, home);
    CREATE OR REPLACE FUNCTION knowledge.likeness(distance float8, dimensions int)
      RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT -distance';
    EXECUTE format($sql$CREATE OR REPLACE FUNCTION knowledge.similarity(vector real[], query_vector real[])
      RETURNS SETOF float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1 AS
      'SELECT -(vector::%1$s.vector OPERATOR(%1$s.<#>) query_vector::%1$s.vector)'$sql$, home);
  END IF;
END $procedure$;
REVOKE ALL ON PROCEDURE knowledge.use_best_vectors() FROM PUBLIC;
CALL knowledge.use_best_vectors();
