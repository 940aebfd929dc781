CREATE SCHEMA IF NOT EXISTS "platform";

-- The two roles that serve (DESIGN: tenancy). Start-up makes them able to log in; here they only have to exist.
DO $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'sba_app') THEN CREATE ROLE sba_app NOLOGIN NOBYPASSRLS; END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'sba_system') THEN CREATE ROLE sba_system NOLOGIN NOBYPASSRLS; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this cluster made them just now
END $$;

-- CALL platform.protect_schema('agent'): both roles may enter; tables are granted one by one.
CREATE PROCEDURE platform.protect_schema(name text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO sba_app, sba_system', name);
END $$;

-- CALL platform.protect_table('agent.run'): a tenant sees and writes its own rows only, the table's owner included.
-- Without a tenant set there are no rows and writes are refused. The system role sees every row (tenant_id is never null).
CREATE PROCEDURE platform.protect_table(target regclass, privileges text DEFAULT 'SELECT, INSERT, UPDATE, DELETE') LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
  EXECUTE format($policy$CREATE POLICY tenant_isolation ON %s
    USING (tenant_id = NULLIF(current_setting('app.current_tenant', true), '')::uuid)
    WITH CHECK (tenant_id = NULLIF(current_setting('app.current_tenant', true), '')::uuid)$policy$, target);
  EXECUTE format('CREATE POLICY system_access ON %s TO sba_system USING (tenant_id IS NOT NULL) WITH CHECK (tenant_id IS NOT NULL)', target);
  EXECUTE format('GRANT %s ON %s TO sba_app, sba_system', privileges, target);
END $$;

-- SELECT platform.require(<condition>, 'AGENT_RUN_CHANGED'): fails the transaction unless the condition holds, so that statements that
-- were sent together are all refused when one of them found something else than was expected.
CREATE FUNCTION platform.require(holds boolean, otherwise text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF holds IS NOT TRUE THEN RAISE EXCEPTION USING MESSAGE = otherwise, ERRCODE = 'SB001'; END IF;
END $$;

REVOKE ALL ON PROCEDURE platform.protect_schema(text) FROM PUBLIC;
REVOKE ALL ON PROCEDURE platform.protect_table(regclass, text) FROM PUBLIC;
CALL platform.protect_schema('platform');

CREATE TABLE "platform"."stream" (
    "id" TEXT NOT NULL,
    "tenant_id" UUID NOT NULL,
    "last_seq" INTEGER NOT NULL,
    CONSTRAINT "stream_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "platform"."event" (
    "stream" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "tenant_id" UUID NOT NULL,
    "type" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "payload" JSONB NOT NULL,
    "at" TIMESTAMPTZ(6) NOT NULL,
    "trace_id" TEXT,
    CONSTRAINT "event_pkey" PRIMARY KEY ("stream","seq")
);

CREATE TABLE "platform"."outbox" (
    "id" UUID NOT NULL,
    "tenant_id" UUID NOT NULL,
    "queue" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "envelope" JSONB NOT NULL,
    "attempts" INTEGER NOT NULL,
    "backoff_ms" INTEGER NOT NULL,
    "run_at" TIMESTAMPTZ(6) NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "outbox_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "outbox_created_at_idx" ON "platform"."outbox"("created_at");

CREATE TABLE "platform"."idempotency_key" (
    "tenant_id" UUID NOT NULL,
    "principal_id" UUID NOT NULL,
    "operation" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "input_hash" TEXT NOT NULL,
    "result_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "idempotency_key_pkey" PRIMARY KEY ("tenant_id","principal_id","operation","key")
);

CREATE TABLE "platform"."audit_entry" (
    "id" UUID NOT NULL,
    "tenant_id" UUID NOT NULL,
    "principal_id" UUID NOT NULL,
    "principal_kind" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "details" JSONB NOT NULL,
    "request_id" TEXT NOT NULL,
    "at" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "audit_entry_pkey" PRIMARY KEY ("tenant_id","id")
);

CALL platform.protect_table('platform.stream');
-- The journal is append-only: what was told cannot be untold by whoever serves.
CALL platform.protect_table('platform.event', 'SELECT, INSERT');
CALL platform.protect_table('platform.outbox');
CALL platform.protect_table('platform.idempotency_key');
CALL platform.protect_table('platform.audit_entry', 'SELECT, INSERT');
