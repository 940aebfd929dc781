-- Origins whose pages may call for a tenant from a browser.
ALTER TABLE "identity"."tenant" ADD COLUMN "allowed_origins" TEXT[] NOT NULL DEFAULT ARRAY[]::TEXT[];

-- No tenant_id: a browser asks before it says who somebody is. It tells of an origin how many tenants allow it, and not which.
CREATE TABLE "identity"."known_origin" (
    "origin" TEXT NOT NULL,
    "tenants" INTEGER NOT NULL,
    CONSTRAINT "known_origin_pkey" PRIMARY KEY ("origin"),
    CONSTRAINT "known_origin_tenants" CHECK ("tenants" >= 0)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON "identity"."known_origin" TO sba_app;
