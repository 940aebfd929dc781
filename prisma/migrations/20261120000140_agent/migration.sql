CREATE SCHEMA IF NOT EXISTS "agent";
CALL platform.protect_schema('agent');

CREATE TABLE "agent"."agent" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "version_number" INTEGER NOT NULL,
    "on_busy_thread" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "agent_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "agent"."agent_version" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "agent_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "instructions" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "tools" TEXT[],
    "tool_hashes" JSONB NOT NULL,
    "fallback_models" TEXT[],
    "answer_cache_seconds" INTEGER,
    "published_by" UUID NOT NULL,
    "published_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "agent_version_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "agent"."thread" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "agent_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "thread_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "agent"."run" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "thread_id" UUID NOT NULL,
    "agent_id" UUID NOT NULL,
    "agent_version_id" UUID NOT NULL,
    "agent_key" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "tool_hashes" JSONB NOT NULL,
    "price_list_version" INTEGER NOT NULL,
    "status" TEXT NOT NULL,
    "paused_from" TEXT,
    "prompt" TEXT NOT NULL,
    "output" TEXT,
    "options" JSONB NOT NULL,
    "started_by" UUID NOT NULL,
    "started_by_kind" TEXT NOT NULL,
    "permissions" TEXT[],
    "request_id" TEXT NOT NULL,
    "error_code" TEXT,
    "error_message" TEXT,
    "cancel_reason" TEXT,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(6),
    "ended_at" TIMESTAMPTZ(6),
    "step_number" INTEGER NOT NULL DEFAULT 0,
    "step_attempt" INTEGER NOT NULL DEFAULT 0,
    "spent_micros" BIGINT NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(6),
    "lease_expires_at" TIMESTAMPTZ(6),
    "fence" INTEGER NOT NULL DEFAULT 0,
    "revision" INTEGER NOT NULL DEFAULT 0,
    "takeovers" INTEGER NOT NULL DEFAULT 0,
    "text_pieces" INTEGER NOT NULL DEFAULT 0,
    "announces_end" BOOLEAN NOT NULL DEFAULT false,
    "forked_from_run_id" UUID,
    "forked_from_seq" INTEGER,
    "plan" JSONB,
    "replaced_by" UUID,
    "traceparent" TEXT,
    "slot" TEXT,
    "budgeted" BOOLEAN NOT NULL DEFAULT false,
    CONSTRAINT "run_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "agent"."message" (
    "tenant_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "role" TEXT NOT NULL,
    "text" TEXT NOT NULL,
    "tool_calls" JSONB,
    "tool_call_id" UUID,
    "asks_person" BOOLEAN NOT NULL DEFAULT false,
    "seq" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "message_pkey" PRIMARY KEY ("tenant_id","run_id","ordinal")
);

CREATE TABLE "agent"."step" (
    "tenant_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "type" TEXT NOT NULL,
    "tool_call_id" UUID,
    "model" TEXT,
    "started_at" TIMESTAMPTZ(6) NOT NULL,
    "ended_at" TIMESTAMPTZ(6),
    CONSTRAINT "step_pkey" PRIMARY KEY ("tenant_id","run_id","number")
);

CREATE TABLE "agent"."citation" (
    "tenant_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "document_id" UUID NOT NULL,
    "chunk_id" UUID NOT NULL,
    "quote" TEXT NOT NULL,
    CONSTRAINT "citation_pkey" PRIMARY KEY ("tenant_id","run_id","ordinal")
);

CREATE UNIQUE INDEX "agent_tenant_id_key_key" ON "agent"."agent"("tenant_id", "key");
CREATE UNIQUE INDEX "agent_version_tenant_id_agent_id_number_key" ON "agent"."agent_version"("tenant_id", "agent_id", "number");
CREATE INDEX "run_tenant_id_thread_id_idx" ON "agent"."run"("tenant_id", "thread_id");
CREATE INDEX "run_due_idx" ON "agent"."run"("tenant_id", "due_at") WHERE "due_at" IS NOT NULL;
CREATE INDEX "run_waiting_idx" ON "agent"."run"("tenant_id", "id") WHERE "slot" = 'WAITING';

ALTER TABLE "agent"."agent_version" ADD CONSTRAINT "agent_version_tenant_id_agent_id_fkey" FOREIGN KEY ("tenant_id", "agent_id") REFERENCES "agent"."agent"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "agent"."run" ADD CONSTRAINT "run_tenant_id_thread_id_fkey" FOREIGN KEY ("tenant_id", "thread_id") REFERENCES "agent"."thread"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "agent"."run" ADD CONSTRAINT "run_tenant_id_agent_version_id_fkey" FOREIGN KEY ("tenant_id", "agent_version_id") REFERENCES "agent"."agent_version"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "agent"."message" ADD CONSTRAINT "message_tenant_id_run_id_fkey" FOREIGN KEY ("tenant_id", "run_id") REFERENCES "agent"."run"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "agent"."step" ADD CONSTRAINT "step_tenant_id_run_id_fkey" FOREIGN KEY ("tenant_id", "run_id") REFERENCES "agent"."run"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "agent"."citation" ADD CONSTRAINT "citation_tenant_id_run_id_fkey" FOREIGN KEY ("tenant_id", "run_id") REFERENCES "agent"."run"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CALL platform.protect_table('agent.agent');
CALL platform.protect_table('agent.agent_version', 'SELECT, INSERT');
CALL platform.protect_table('agent.thread');
CALL platform.protect_table('agent.run');
CALL platform.protect_table('agent.message');
CALL platform.protect_table('agent.step');
CALL platform.protect_table('agent.citation');
