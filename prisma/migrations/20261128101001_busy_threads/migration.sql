-- New input for a thread in which a run is under way: the run of it waits for its turn, and the one before it says when it has ended.
ALTER TABLE "agent"."run" ADD COLUMN "waits_for_thread" BOOLEAN NOT NULL DEFAULT false, ADD COLUMN "followed" BOOLEAN NOT NULL DEFAULT false;
CREATE INDEX "run_waits_for_thread_idx" ON "agent"."run"("tenant_id", "thread_id", "id") WHERE "waits_for_thread";
