CREATE SCHEMA IF NOT EXISTS "identity";
CALL platform.protect_schema('identity');

CREATE TABLE "identity"."tenant" (
    "tenant_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "tenant_pkey" PRIMARY KEY ("tenant_id")
);

-- No tenant_id: one person signs in once and may belong to several tenants (see prisma/schema/identity.prisma).
CREATE TABLE "identity"."user" (
    "id" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "display_name" TEXT NOT NULL,
    "password_hash" TEXT,
    "tenant_ids" UUID[],
    "last_tenant_id" UUID,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "user_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "user_email_lower_case" CHECK ("email" = lower("email"))
);
CREATE UNIQUE INDEX "user_email_key" ON "identity"."user"("email");

CREATE TABLE "identity"."membership" (
    "tenant_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "roles" TEXT[],
    "status" TEXT NOT NULL,
    "joined_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "membership_pkey" PRIMARY KEY ("tenant_id","user_id"),
    CONSTRAINT "membership_status" CHECK ("status" IN ('ACTIVE', 'SUSPENDED', 'REMOVED'))
);

CREATE TABLE "identity"."api_key" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "secret_hash" TEXT NOT NULL,
    "roles" TEXT[],
    "permissions" TEXT[],
    "created_by" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(6),
    "revoked_at" TIMESTAMPTZ(6),
    CONSTRAINT "api_key_pkey" PRIMARY KEY ("tenant_id","id")
);

CREATE TABLE "identity"."session" (
    "tenant_id" UUID NOT NULL,
    "id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "refresh_hash" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(6) NOT NULL,
    "ended_at" TIMESTAMPTZ(6),
    CONSTRAINT "session_pkey" PRIMARY KEY ("tenant_id","id")
);
CREATE INDEX "session_tenant_id_user_id_idx" ON "identity"."session"("tenant_id", "user_id");

-- No tenant_id: nobody has a tenant before signing in.
CREATE TABLE "identity"."sign_in_attempt" (
    "account" TEXT NOT NULL,
    "failures" INTEGER NOT NULL,
    "blocked_until" TIMESTAMPTZ(6),
    "last_at" TIMESTAMPTZ(6) NOT NULL,
    CONSTRAINT "sign_in_attempt_pkey" PRIMARY KEY ("account")
);
CREATE INDEX "sign_in_attempt_last_at_idx" ON "identity"."sign_in_attempt"("last_at");

-- No tenant_id: one issuer signs for every tenant.
CREATE TABLE "identity"."signing_key" (
    "kid" TEXT NOT NULL,
    "public_jwk" JSONB NOT NULL,
    "sealed_private_key" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retired_at" TIMESTAMPTZ(6),
    CONSTRAINT "signing_key_pkey" PRIMARY KEY ("kid")
);

ALTER TABLE "identity"."membership" ADD CONSTRAINT "membership_tenant_id_fkey"
    FOREIGN KEY ("tenant_id") REFERENCES "identity"."tenant"("tenant_id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "identity"."membership" ADD CONSTRAINT "membership_user_id_fkey"
    FOREIGN KEY ("user_id") REFERENCES "identity"."user"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "identity"."api_key" ADD CONSTRAINT "api_key_tenant_id_fkey"
    FOREIGN KEY ("tenant_id") REFERENCES "identity"."tenant"("tenant_id") ON DELETE RESTRICT ON UPDATE RESTRICT;
ALTER TABLE "identity"."session" ADD CONSTRAINT "session_tenant_id_user_id_fkey"
    FOREIGN KEY ("tenant_id", "user_id") REFERENCES "identity"."membership"("tenant_id", "user_id") ON DELETE RESTRICT ON UPDATE RESTRICT;

CALL platform.protect_table('identity.tenant', 'SELECT, INSERT, UPDATE');
CALL platform.protect_table('identity.membership', 'SELECT, INSERT, UPDATE');
CALL platform.protect_table('identity.api_key', 'SELECT, INSERT, UPDATE');
CALL platform.protect_table('identity.session', 'SELECT, INSERT, UPDATE');

GRANT SELECT, INSERT, UPDATE ON "identity"."user" TO sba_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON "identity"."sign_in_attempt", "identity"."signing_key" TO sba_app;
