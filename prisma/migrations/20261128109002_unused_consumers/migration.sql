-- When a consumer was last heard of, by an acknowledgement or because it subscribed: what rests for long is forgotten.
ALTER TABLE "platform"."event_consumer" RENAME COLUMN "acknowledged_at" TO "used_at";
CREATE INDEX "event_consumer_used_at_idx" ON "platform"."event_consumer"("used_at");
