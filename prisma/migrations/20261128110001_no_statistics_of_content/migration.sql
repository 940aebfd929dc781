-- What these hold is shown and never compared with anything. To take statistics of it, ANALYZE unpacked tens of thousands of values a time,
-- which at 16 runs at once was a sixth of all that the database computed.
ALTER TABLE platform.event ALTER COLUMN payload SET STATISTICS 0;
ALTER TABLE platform.outbox ALTER COLUMN envelope SET STATISTICS 0;
ALTER TABLE agent.run ALTER COLUMN output SET STATISTICS 0;
ALTER TABLE agent.message ALTER COLUMN text SET STATISTICS 0, ALTER COLUMN tool_calls SET STATISTICS 0;
ALTER TABLE agent.citation ALTER COLUMN quote SET STATISTICS 0;
ALTER TABLE agent.approval ALTER COLUMN params SET STATISTICS 0;
ALTER TABLE integrations.tool_call ALTER COLUMN params SET STATISTICS 0, ALTER COLUMN result SET STATISTICS 0;
ALTER TABLE knowledge.chunk ALTER COLUMN text SET STATISTICS 0;
ALTER TABLE knowledge.embedding ALTER COLUMN vector SET STATISTICS 0, ALTER COLUMN bits SET STATISTICS 0;
