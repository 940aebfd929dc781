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

CALL platform.protect_table('billing.usage_record', 'SELECT, INSERT');
CALL platform.protect_table('billing.plan_subscription');
