CREATE TABLE "agent"."note" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "agent_key" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "text" TEXT NOT NULL,
    "call_id" UUID NOT NULL,
    "run_id" UUID,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(6) NOT NULL,

    CONSTRAINT "note_pkey" PRIMARY KEY ("tenant_id","id")
);
CREATE UNIQUE INDEX "note_tenant_id_agent_key_key_key" ON "agent"."note"("tenant_id", "agent_key", "key");
CREATE INDEX "note_expires_at_idx" ON "agent"."note"("expires_at");

CREATE TABLE "agent"."cached_answer" (
    "tenant_id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "answer" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ(6) NOT NULL,

    CONSTRAINT "cached_answer_pkey" PRIMARY KEY ("tenant_id","key")
);
CREATE INDEX "cached_answer_expires_at_idx" ON "agent"."cached_answer"("expires_at");

CALL platform.protect_table('agent.note');
CALL platform.protect_table('agent.cached_answer');
