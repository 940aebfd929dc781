-- How far ahead of now each limit is booked (packages/platform/src/rate-limit.ts). Unlogged: a crash may empty it, and nothing waits for a
-- disk. Keys are hashes of whom they limit, so that nobody learns from them about a tenant.
CREATE UNLOGGED TABLE "platform"."rate_limit" (
    "key" TEXT NOT NULL,
    "arrival_us" BIGINT NOT NULL,
    "granted" BIGINT NOT NULL,
    CONSTRAINT "rate_limit_pkey" PRIMARY KEY ("key")
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON "platform"."rate_limit" TO sba_app;
