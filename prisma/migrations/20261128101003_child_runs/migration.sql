-- Runs that another run delegated work to: what they cost counts for those above them, and they share the slot of the tree.
ALTER TABLE "agent"."run"
    ADD COLUMN "parent_run_id" UUID,
    ADD COLUMN "depth" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "child_count" INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN "children_micros" BIGINT NOT NULL DEFAULT 0;
CREATE INDEX "run_parent_idx" ON "agent"."run"("tenant_id", "parent_run_id") WHERE "parent_run_id" IS NOT NULL;
ALTER TABLE "agent"."run" ADD CONSTRAINT "run_tenant_id_parent_run_id_fkey" FOREIGN KEY ("tenant_id", "parent_run_id") REFERENCES "agent"."run"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

ALTER TABLE "billing"."run_slot" ADD COLUMN "is_shared" BOOLEAN NOT NULL DEFAULT false;

CREATE TABLE "billing"."run_link" (
    "tenant_id" UUID NOT NULL,
    "ancestor_run_id" UUID NOT NULL,
    "run_id" UUID NOT NULL,

    CONSTRAINT "run_link_pkey" PRIMARY KEY ("tenant_id","ancestor_run_id","run_id")
);
CREATE INDEX "run_link_tenant_id_run_id_idx" ON "billing"."run_link"("tenant_id", "run_id");

CALL platform.protect_table('billing.run_link', 'SELECT, INSERT');
