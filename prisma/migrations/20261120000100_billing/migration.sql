CREATE SCHEMA IF NOT EXISTS "billing";
CALL platform.protect_schema('billing');

CREATE TABLE "billing"."usage_record" (
    "tenant_id" UUID NOT NULL,
    "key" TEXT NOT NULL,
    "meter" TEXT NOT NULL,
    "model" TEXT,
    "quantity" BIGINT NOT NULL,
    "amount_micros" BIGINT NOT NULL,
    "price_list_version" INTEGER NOT NULL,
    "run_id" UUID,
    "agent_key" TEXT,
    "principal_id" UUID NOT NULL,
    "recorded_at" TIMESTAMPTZ(6) NOT NULL,
    CONSTRAINT "usage_record_pkey" PRIMARY KEY ("tenant_id","key","meter"),
    CONSTRAINT "usage_record_not_negative" CHECK ("quantity" >= 0 AND "amount_micros" >= 0)
);
CREATE INDEX "usage_record_tenant_id_recorded_at_idx" ON "billing"."usage_record"("tenant_id", "recorded_at");
CREATE INDEX "usage_record_tenant_id_run_id_idx" ON "billing"."usage_record"("tenant_id", "run_id");

CREATE TABLE "billing"."plan_subscription" (
    "tenant_id" UUID NOT NULL,
    "plan_key" TEXT NOT NULL,
    "started_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "plan_subscription_pkey" PRIMARY KEY ("tenant_id")
);

CREATE TABLE "billing"."budget" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "scope" TEXT NOT NULL,
    "scope_id" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "limit_micros" BIGINT NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL,
    CONSTRAINT "budget_pkey" PRIMARY KEY ("tenant_id","id"),
    CONSTRAINT "budget_limit_not_negative" CHECK ("limit_micros" >= 0)
);
CREATE UNIQUE INDEX "budget_tenant_id_scope_scope_id_period_key" ON "billing"."budget"("tenant_id", "scope", "scope_id", "period");

CREATE TABLE "billing"."budget_period" (
    "tenant_id" UUID NOT NULL,
    "budget_id" UUID NOT NULL,
    "starts_at" TIMESTAMPTZ(6) NOT NULL,
    "reserved_micros" BIGINT NOT NULL DEFAULT 0,
    "spent_micros" BIGINT NOT NULL DEFAULT 0,
    "alert_percent" SMALLINT NOT NULL DEFAULT 0,
    "announced_percent" SMALLINT NOT NULL DEFAULT 0,
    CONSTRAINT "budget_period_pkey" PRIMARY KEY ("tenant_id","budget_id","starts_at"),
    CONSTRAINT "budget_period_not_negative" CHECK ("reserved_micros" >= 0 AND "spent_micros" >= 0)
);
CREATE INDEX "budget_period_alert_idx" ON "billing"."budget_period"("tenant_id", "budget_id") WHERE "alert_percent" > "announced_percent";

CREATE TABLE "billing"."slice" (
    "tenant_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "budget_id" UUID NOT NULL,
    "starts_at" TIMESTAMPTZ(6),
    "ends_at" TIMESTAMPTZ(6),
    "reserved_micros" BIGINT NOT NULL,
    "spent_micros" BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT "slice_pkey" PRIMARY KEY ("tenant_id","run_id","budget_id"),
    CONSTRAINT "slice_spends_what_it_reserved" CHECK ("spent_micros" >= 0 AND "spent_micros" <= "reserved_micros")
);
CREATE INDEX "slice_tenant_id_budget_id_starts_at_idx" ON "billing"."slice"("tenant_id", "budget_id", "starts_at");

CREATE TABLE "billing"."quota_use" (
    "tenant_id" UUID NOT NULL,
    "running" INTEGER NOT NULL,
    "month" TIMESTAMPTZ(6) NOT NULL,
    "tokens" BIGINT NOT NULL,
    "tool_calls" BIGINT NOT NULL,
    CONSTRAINT "quota_use_pkey" PRIMARY KEY ("tenant_id"),
    CONSTRAINT "quota_use_not_negative" CHECK ("running" >= 0 AND "tokens" >= 0 AND "tool_calls" >= 0)
);

CREATE TABLE "billing"."run_slot" (
    "tenant_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "queued_at" TIMESTAMPTZ(6) NOT NULL,
    "admitted_at" TIMESTAMPTZ(6),
    CONSTRAINT "run_slot_pkey" PRIMARY KEY ("tenant_id","run_id")
);
CREATE INDEX "run_slot_waiting_idx" ON "billing"."run_slot"("tenant_id", "queued_at") WHERE "admitted_at" IS NULL;

CREATE TABLE "billing"."quota_policy" (
    "tenant_id" UUID NOT NULL,
    "when_full" TEXT NOT NULL,
    CONSTRAINT "quota_policy_pkey" PRIMARY KEY ("tenant_id")
);

ALTER TABLE "billing"."budget_period" ADD CONSTRAINT "budget_period_tenant_id_budget_id_fkey" FOREIGN KEY ("tenant_id", "budget_id")
    REFERENCES "billing"."budget"("tenant_id", "id") ON DELETE CASCADE ON UPDATE RESTRICT;

-- The threshold of a budget that is passed when so much of it is spent: 100, 80 or 0 percent.
CREATE FUNCTION billing.passed_percent(spent bigint, most bigint) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
  SELECT (CASE WHEN spent >= most THEN 100 WHEN spent * 100 >= most * 80 THEN 80 ELSE 0 END)::smallint
$$;

CALL platform.protect_table('billing.usage_record', 'SELECT, INSERT');
CALL platform.protect_table('billing.plan_subscription');
CALL platform.protect_table('billing.budget');
CALL platform.protect_table('billing.budget_period');
CALL platform.protect_table('billing.slice');
CALL platform.protect_table('billing.quota_use');
CALL platform.protect_table('billing.run_slot');
CALL platform.protect_table('billing.quota_policy');
