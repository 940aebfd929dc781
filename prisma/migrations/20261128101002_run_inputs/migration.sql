-- What people say to a run that is under way, kept until its model is told.
CREATE TABLE "agent"."run_input" (
    "tenant_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "text" TEXT NOT NULL,
    "sent_by" UUID NOT NULL,
    "sent_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "told_at" TIMESTAMPTZ(6),

    CONSTRAINT "run_input_pkey" PRIMARY KEY ("tenant_id","run_id","ordinal")
);
ALTER TABLE "agent"."run" ADD COLUMN "unread_inputs" INTEGER NOT NULL DEFAULT 0;

ALTER TABLE "agent"."run_input" ADD CONSTRAINT "run_input_tenant_id_run_id_fkey" FOREIGN KEY ("tenant_id", "run_id") REFERENCES "agent"."run"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CALL platform.protect_table('agent.run_input', 'SELECT, INSERT, UPDATE');
