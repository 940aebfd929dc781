-- While a tenant has a row here nothing of its work is begun: who starts, leases or renews work looks. The platform's and not
-- identity's, since every domain's workers ask in the statement that takes the work.
CREATE TABLE "platform"."suspension" (
    "tenant_id" UUID NOT NULL,
    "suspended_by" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "suspended_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "suspension_pkey" PRIMARY KEY ("tenant_id","suspended_by"),
    CONSTRAINT "suspension_suspended_by" CHECK ("suspended_by" IN ('OWNER', 'PLATFORM'))
);

CALL platform.protect_table('platform.suspension', 'SELECT, INSERT, DELETE');

-- A session may also be an API key's, and one that was opened for a socket has no refresh token.
ALTER TABLE "identity"."session" ADD COLUMN "api_key_id" UUID;
ALTER TABLE "identity"."session" ALTER COLUMN "user_id" DROP NOT NULL;
ALTER TABLE "identity"."session" ALTER COLUMN "refresh_hash" DROP NOT NULL;
ALTER TABLE "identity"."session" ADD CONSTRAINT "session_principal" CHECK (num_nonnulls("user_id", "api_key_id") = 1);
ALTER TABLE "identity"."session" ADD CONSTRAINT "session_tenant_id_api_key_id_fkey"
    FOREIGN KEY ("tenant_id", "api_key_id") REFERENCES "identity"."api_key"("tenant_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;
CREATE INDEX "session_tenant_id_api_key_id_idx" ON "identity"."session"("tenant_id", "api_key_id");
