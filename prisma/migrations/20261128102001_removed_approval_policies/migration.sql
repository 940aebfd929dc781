-- A policy that was removed is kept with its versions: approvals are pinned to them, and the next one of the tool goes on counting.
ALTER TABLE "agent"."approval_policy" ADD COLUMN "removed_at" TIMESTAMPTZ(6);
