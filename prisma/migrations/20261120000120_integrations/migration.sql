CREATE SCHEMA IF NOT EXISTS "integrations";
CALL platform.protect_schema('integrations');

CREATE TABLE "integrations"."tool_call" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "definition_hash" TEXT NOT NULL,
    "params" JSONB NOT NULL,
    "status" TEXT NOT NULL,
    "result" JSONB,
    "error" JSONB,
    "duration_ms" INTEGER,
    "run_id" UUID,
    "step_number" INTEGER,
    "agent_key" TEXT,
    "requested_at" TIMESTAMPTZ(6) NOT NULL,
    "begun_at" TIMESTAMPTZ(6),
    "unknown_at" TIMESTAMPTZ(6),
    "finished_at" TIMESTAMPTZ(6),

    CONSTRAINT "tool_call_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "tool_call_status_check" CHECK ("status" IN ('REQUESTED', 'SUCCEEDED', 'FAILED', 'UNKNOWN'))
);
CREATE INDEX "tool_call_tenant_id_requested_at_name_idx" ON "integrations"."tool_call"("tenant_id", "requested_at", "name");
CREATE INDEX "tool_call_unknown_idx" ON "integrations"."tool_call"("tenant_id", "id") WHERE "status" = 'UNKNOWN';

CALL platform.protect_table('integrations.tool_call', 'SELECT, INSERT, UPDATE');

CREATE TABLE "integrations"."webhook_endpoint" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "honours_idempotency_keys" BOOLEAN NOT NULL,
    "sealed_secret" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "webhook_endpoint_pkey" PRIMARY KEY ("tenant_id","id")
);
CREATE UNIQUE INDEX "webhook_endpoint_tenant_id_name_key" ON "integrations"."webhook_endpoint"("tenant_id", "name");

CALL platform.protect_table('integrations.webhook_endpoint', 'SELECT, INSERT, DELETE');
