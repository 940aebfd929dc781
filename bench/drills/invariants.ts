import { decodeId, encodeId } from "@sba/platform/ids";
import type { Watched } from "./load.ts";
import type { World } from "./world.ts";

/** What must hold afterwards, whatever happened. Each returns what violates it, in words. */

/** Everything that is wrong with what these runs left behind. */
export async function findViolations(world: World, watched: readonly Watched[]): Promise<string[]> {
  const runIds = watched.map(({ runId }) => decodeId("Run", runId));
  const checks = Object.entries(QUERIES).map(async ([what, query]) => {
    const rows = await world.look<{ run: string }>(query, [runIds]);
    return rows.length === 0
      ? []
      : [
          `${what}: ${rows.length} (${rows
            .slice(0, 3)
            .map(({ run }) => run)
            .join(", ")})`,
        ];
  });
  const rows = (await Promise.all(checks)).flat();
  return [...onceEach(runIds), ...watched.flatMap(missedEvents), ...rows, ...(await strayEffects(world, runIds))];
}

/** What was sent outside happened there once. */
async function strayEffects({ look, sink }: World, runIds: readonly string[]): Promise<string[]> {
  const calls = await look<{ id: string }>(
    "SELECT id FROM integrations.tool_call WHERE run_id = ANY($1) AND name = 'webhook.send'",
    [runIds],
  );
  return calls.flatMap(({ id }) => {
    const times = sink.effects.get(encodeId("ToolCall", id)) ?? 0;
    return times === 1 ? [] : [`the webhook call ${id} had ${times} effects`];
  });
}

/** Clients that sent a start again got the same run. */
function onceEach(runIds: readonly string[]): string[] {
  return new Set(runIds).size === runIds.length ? [] : ["a run belongs to two starts"];
}

/** What a reconnecting subscriber saw: every event once, in order, the end last. */
function missedEvents({ runId, events }: Watched): string[] {
  const isWhole = events.every(({ seq }, index) => seq === index + 1);
  const ends = events.filter(({ __typename }) => __typename === "RunFinished" || __typename === "RunFailed");
  if (isWhole && ends.length === 1 && ends[0] === events.at(-1)) return [];
  return [`the subscriber of ${runId} saw ${events.map(({ seq, __typename }) => `${seq} ${__typename}`).join(", ")}`];
}

const STREAM = "JOIN platform.event e ON e.stream = 'run:' || r.id";
const TERMINAL = "('agent.run.finished', 'agent.run.failed')";

/** Rows that violate, by what they violate; $1 is the runs. */
const QUERIES = {
  "runs that did not complete": "SELECT id AS run FROM agent.run r WHERE id = ANY($1) AND status <> 'COMPLETED'",
  "runs that nobody asked for": `
    SELECT r.id AS run FROM agent.run r WHERE NOT r.id = ANY($1) AND r.tenant_id = (SELECT tenant_id FROM agent.run WHERE id = ANY($1) LIMIT 1)
      AND r.created_at >= (SELECT min(created_at) FROM agent.run WHERE id = ANY($1))`,
  "journals with a gap or a repeat": `
    SELECT r.id AS run FROM agent.run r ${STREAM} WHERE r.id = ANY($1) GROUP BY r.id HAVING count(*) <> max(e.seq) OR min(e.seq) <> 1`,
  "journals whose end is not one and last": `
    SELECT r.id AS run FROM agent.run r ${STREAM} WHERE r.id = ANY($1) GROUP BY r.id
    HAVING count(*) FILTER (WHERE e.type IN ${TERMINAL}) <> 1 OR max(e.seq) <> max(e.seq) FILTER (WHERE e.type IN ${TERMINAL})`,
  "steps that ended more or less than once": `
    SELECT r.id AS run FROM agent.run r JOIN agent.step s ON s.run_id = r.id LEFT JOIN platform.event e ON e.stream = 'run:' || r.id
      AND e.type = 'agent.run.stepFinished' AND (e.payload->'step'->>'number')::int = s.number
    WHERE r.id = ANY($1) GROUP BY r.id, s.number HAVING count(e.seq) <> 1`,
  "answers that differ from what was streamed": `
    SELECT r.id AS run FROM agent.run r JOIN LATERAL (
      SELECT string_agg(e.payload->>'text', '' ORDER BY e.seq) AS text FROM platform.event e
      WHERE e.stream = 'run:' || r.id AND e.type = 'agent.run.tokenDelta' AND e.seq > coalesce((
        SELECT max(v.seq) FROM platform.event v WHERE v.stream = e.stream AND v.type = 'agent.run.stepRestarted'
          AND v.payload->'step'->>'number' = e.payload->>'stepNumber'), 0)) shown ON true
    WHERE r.id = ANY($1) AND position(r.output IN shown.text) = 0`,
  "usage that differs from what was announced": `
    SELECT r.id AS run FROM agent.run r WHERE r.id = ANY($1) AND (
      (SELECT sum(amount_micros) FROM billing.usage_record u WHERE u.run_id = r.id) <> r.spent_micros
      OR (SELECT sum(quantity) FROM billing.usage_record u WHERE u.run_id = r.id) <> (
        SELECT sum((line->>'quantity')::bigint) FROM platform.event e, jsonb_array_elements(e.payload->'usage') AS line
        WHERE e.stream = 'run:' || r.id AND e.type = 'agent.run.usageRecorded'))`,
  "tool calls without an outcome":
    "SELECT run_id AS run FROM integrations.tool_call WHERE run_id = ANY($1) AND status <> 'SUCCEEDED'",
  "calls that did not have one effect": `
    SELECT c.run_id AS run FROM integrations.tool_call c LEFT JOIN agent.task t ON t.id = c.id OR t.run_id = c.run_id
    WHERE c.run_id = ANY($1) AND c.name = 'task.create' GROUP BY c.id, c.run_id HAVING count(t.id) <> 1`,
  "approvals decided more or less than once": `
    SELECT a.run_id AS run FROM agent.approval a LEFT JOIN agent.approval_decision d ON d.approval_id = a.id
    WHERE a.run_id = ANY($1) GROUP BY a.id, a.run_id HAVING count(d.id) <> 1 OR max(a.status) <> 'APPROVED'`,
} as const;
