-- Names what providers billed for attempts of a run's steps that came to nothing: one that was put aside has the number of the one before it.
ALTER TABLE "agent"."run" ADD COLUMN "billed_attempts" INTEGER NOT NULL DEFAULT 0;
