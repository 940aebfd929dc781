-- How far a consumer has dealt with a stream: for those who want the server to keep their cursor.
CREATE TABLE "platform"."event_consumer" (
    "tenant_id" UUID NOT NULL,
    "principal_id" UUID NOT NULL,
    "consumer" TEXT NOT NULL,
    "stream" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "acknowledged_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "event_consumer_pkey" PRIMARY KEY ("tenant_id","principal_id","consumer","stream")
);
CALL platform.protect_table('platform.event_consumer');
