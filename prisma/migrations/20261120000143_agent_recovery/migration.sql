CREATE TABLE "agent"."dead_letter" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "reason" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "failed_at" TIMESTAMPTZ(6) NOT NULL,
    "replayed_by" UUID,
    "replayed_at" TIMESTAMPTZ(6),

    CONSTRAINT "dead_letter_pkey" PRIMARY KEY ("tenant_id","id")
);
CREATE UNIQUE INDEX "dead_letter_tenant_id_run_id_key" ON "agent"."dead_letter"("tenant_id", "run_id");

ALTER TABLE "agent"."dead_letter" ADD CONSTRAINT "dead_letter_tenant_id_run_id_fkey" FOREIGN KEY ("tenant_id", "run_id") REFERENCES "agent"."run"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CALL platform.protect_table('agent.dead_letter', 'SELECT, INSERT, UPDATE');
