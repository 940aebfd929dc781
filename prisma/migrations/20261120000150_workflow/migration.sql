CREATE SCHEMA IF NOT EXISTS "workflow";
CALL platform.protect_schema('workflow');

CREATE TABLE "workflow"."workflow" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "version_number" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "workflow_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "workflow"."workflow_version" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "workflow_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "steps" JSONB NOT NULL,
    "definition_hash" TEXT NOT NULL,
    "published_by" UUID NOT NULL,
    "published_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "workflow_version_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "workflow"."workflow_run" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "workflow_id" UUID NOT NULL,
    "workflow_version_id" UUID NOT NULL,
    "workflow_key" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "input" JSONB NOT NULL,
    "output" JSONB,
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
    "due_at" TIMESTAMPTZ(6),
    "leased_at" TIMESTAMPTZ(6),
    "lease_expires_at" TIMESTAMPTZ(6),
    "woken_at" TIMESTAMPTZ(6),
    "fence" INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT "workflow_run_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "workflow"."workflow_step" (
    "tenant_id" UUID NOT NULL,
    "workflow_run_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "key" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "params" JSONB,
    "output" JSONB,
    "error_code" TEXT,
    "error_message" TEXT,
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "run_id" UUID,
    "approval_id" UUID,
    "tool_call_id" UUID,
    "started_at" TIMESTAMPTZ(6) NOT NULL,
    "ended_at" TIMESTAMPTZ(6),
    CONSTRAINT "workflow_step_pkey" PRIMARY KEY ("tenant_id","workflow_run_id","number")
);

CREATE UNIQUE INDEX "workflow_tenant_id_key_key" ON "workflow"."workflow"("tenant_id", "key");
CREATE UNIQUE INDEX "workflow_version_tenant_id_workflow_id_number_key" ON "workflow"."workflow_version"("tenant_id", "workflow_id", "number");
CREATE INDEX "workflow_run_due_at_idx" ON "workflow"."workflow_run"("due_at");
CREATE INDEX "workflow_step_tenant_id_run_id_idx" ON "workflow"."workflow_step"("tenant_id", "run_id");
CREATE INDEX "workflow_step_tenant_id_tool_call_id_idx" ON "workflow"."workflow_step"("tenant_id", "tool_call_id");

ALTER TABLE "workflow"."workflow_version" ADD CONSTRAINT "workflow_version_tenant_id_workflow_id_fkey" FOREIGN KEY ("tenant_id", "workflow_id") REFERENCES "workflow"."workflow"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "workflow"."workflow_run" ADD CONSTRAINT "workflow_run_tenant_id_workflow_version_id_fkey" FOREIGN KEY ("tenant_id", "workflow_version_id") REFERENCES "workflow"."workflow_version"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "workflow"."workflow_step" ADD CONSTRAINT "workflow_step_tenant_id_workflow_run_id_fkey" FOREIGN KEY ("tenant_id", "workflow_run_id") REFERENCES "workflow"."workflow_run"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CALL platform.protect_table('workflow.workflow');
CALL platform.protect_table('workflow.workflow_version', 'SELECT, INSERT');
CALL platform.protect_table('workflow.workflow_run');
CALL platform.protect_table('workflow.workflow_step');
