CREATE TABLE "agent"."approval_policy" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "tool" TEXT NOT NULL,
    "agent_key" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    CONSTRAINT "approval_policy_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "agent"."approval_policy_version" (
    "tenant_id" UUID NOT NULL,
    "policy_id" UUID NOT NULL,
    "version" INTEGER NOT NULL,
    "quorum" INTEGER NOT NULL,
    "approver_roles" TEXT[],
    "approver_ids" UUID[],
    "allow_requester" BOOLEAN NOT NULL,
    "expires_after_seconds" INTEGER,
    "threshold_micros" BIGINT,
    "set_by" UUID NOT NULL,
    "set_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "approval_policy_version_pkey" PRIMARY KEY ("tenant_id","policy_id","version")
);

CREATE TABLE "agent"."approval" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "run_id" UUID,
    "tool_call_id" UUID,
    "subject" TEXT,
    "status" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "params" JSONB NOT NULL,
    "editable_params" TEXT[],
    "definition_hash" TEXT NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "version" INTEGER NOT NULL DEFAULT 1,
    "round" INTEGER NOT NULL DEFAULT 1,
    "scope" TEXT[],
    "requires" TEXT[],
    "cost_estimate_micros" BIGINT NOT NULL,
    "currency" TEXT NOT NULL,
    "requested_by" UUID NOT NULL,
    "requested_by_kind" TEXT NOT NULL,
    "policy_id" UUID,
    "policy_version" INTEGER,
    "quorum" INTEGER NOT NULL,
    "approver_roles" TEXT[],
    "approver_ids" UUID[],
    "allow_requester" BOOLEAN NOT NULL,
    "expires_after_seconds" INTEGER,
    "expires_at" TIMESTAMPTZ(6),
    "escalated_at" TIMESTAMPTZ(6),
    "superseded_by" UUID,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "approval_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "agent"."approval_decision" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "approval_id" UUID NOT NULL,
    "round" INTEGER NOT NULL,
    "decision" TEXT NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "decided_by" UUID NOT NULL,
    "decided_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "reason" TEXT,
    CONSTRAINT "approval_decision_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE UNIQUE INDEX "approval_policy_tenant_id_tool_agent_key_key" ON "agent"."approval_policy"("tenant_id", "tool", "agent_key");
CREATE INDEX "approval_tenant_id_run_id_idx" ON "agent"."approval"("tenant_id", "run_id");
CREATE INDEX "approval_tenant_id_tool_call_id_idx" ON "agent"."approval"("tenant_id", "tool_call_id");
CREATE INDEX "approval_tenant_id_subject_idx" ON "agent"."approval"("tenant_id", "subject");
CREATE INDEX "approval_tenant_id_status_id_idx" ON "agent"."approval"("tenant_id", "status", "id");
CREATE INDEX "approval_expiry_idx" ON "agent"."approval"("expires_at") WHERE "status" = 'PENDING';
CREATE UNIQUE INDEX "approval_decision_tenant_id_approval_id_round_decided_by_key" ON "agent"."approval_decision"("tenant_id", "approval_id", "round", "decided_by");

ALTER TABLE "agent"."approval_policy_version" ADD CONSTRAINT "approval_policy_version_tenant_id_policy_id_fkey" FOREIGN KEY ("tenant_id", "policy_id") REFERENCES "agent"."approval_policy"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "agent"."approval" ADD CONSTRAINT "approval_tenant_id_policy_id_policy_version_fkey" FOREIGN KEY ("tenant_id", "policy_id", "policy_version") REFERENCES "agent"."approval_policy_version"("tenant_id", "policy_id", "version") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "agent"."approval_decision" ADD CONSTRAINT "approval_decision_tenant_id_approval_id_fkey" FOREIGN KEY ("tenant_id", "approval_id") REFERENCES "agent"."approval"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CALL platform.protect_table('agent.approval_policy');
CALL platform.protect_table('agent.approval_policy_version', 'SELECT, INSERT');
CALL platform.protect_table('agent.approval');
CALL platform.protect_table('agent.approval_decision', 'SELECT, INSERT');
