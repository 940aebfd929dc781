-- Who has told a run what to do since it was started. What it asks is their asking as well: they do not approve it alone.
ALTER TABLE "agent"."run" ADD COLUMN "told_by" UUID[] NOT NULL DEFAULT ARRAY[]::UUID[];
