-- SELECT platform.require_none(<keys>, 'AGENT_RUN_CHANGED'): fails the transaction when there is any key, and names them all in the error's detail
-- (a JSON array): whoever sent the statements of many together learns whose to leave out.
CREATE FUNCTION platform.require_none(keys text[], otherwise text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(keys) > 0 THEN
    RAISE EXCEPTION USING MESSAGE = otherwise, ERRCODE = 'SB001', DETAIL = array_to_json(keys)::text;
  END IF;
END $$;

-- A look-up by id must never be planned over an index that only begins with the tenant: to a planner that has seen an empty table both cost the
-- same, the plan is kept, and then every look-up reads all that the tenant has. These are found by what is unique in itself.
DROP INDEX "agent"."run_tenant_id_thread_id_idx";
CREATE INDEX "run_thread_id_id_idx" ON "agent"."run"("thread_id", "id");
DROP INDEX "integrations"."tool_call_tenant_id_requested_at_name_idx";
CREATE INDEX "tool_call_requested_at_tenant_id_name_idx" ON "integrations"."tool_call"("requested_at", "tenant_id", "name");

-- Rows that are written a few times in quick succession: with room beside them a new version stays on its page and touches no index.
ALTER TABLE "agent"."run" SET (fillfactor = 70);
ALTER TABLE "agent"."step" SET (fillfactor = 80);
ALTER TABLE "integrations"."tool_call" SET (fillfactor = 80);
ALTER TABLE "platform"."stream" SET (fillfactor = 70);
