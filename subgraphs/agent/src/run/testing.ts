import type { ServerResponse } from "node:http";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { eventually } from "@sba/testkit/eventually";
import type { TestDatabase } from "@sba/testkit/services";
import { expect, onTestFinished } from "vitest";
import { createAgent, type CreateAgentInput } from "../agent/agent.ts";
import { openChunks, type Answer } from "../model/testing.ts";
import { replayRun } from "../replay/replay.ts";
import { journalOf } from "../testing.ts";
import { advanceRun } from "./advance.ts";
import { takeFound } from "./claim.ts";
import { startDispatcher, type DispatchOptions } from "./dispatch.ts";
import { takeLease } from "./lease.ts";

/** For tests of how runs are steered: what a scripted model says and when, and what is always true of runs. */

const USAGE = { prompt_tokens: 20, completion_tokens: 3 };

/** Ends the turn with these tool calls. */
export const calls =
  (...asked: readonly (readonly [name: string, params: object])[]): Answer =>
  (response) => {
    const chunks = openChunks(response);
    for (const [index, [name, params]] of asked.entries())
      chunks.call(index, `c${index}`, name, [JSON.stringify(params)]);
    chunks.end("tool_calls", USAGE);
  };

/** Ends the turn with a question to the person. */
export const asks = (question: string): Answer => calls(["ask_person", { question }]);

/** Begins with this text and then says nothing until `finish`. */
export function holds(text: string): { readonly answer: Answer; finish(rest?: string): void } {
  let held: ServerResponse | undefined;
  let chunks: ReturnType<typeof openChunks> | undefined;
  return {
    answer: (response) => {
      held = response;
      chunks = openChunks(response);
      chunks.text(text);
    },
    finish: (rest = "") => {
      if (held?.destroyed !== false) throw new Error("nobody listens to this turn");
      chunks?.text(rest);
      chunks?.end("stop", USAGE);
    },
  };
}

/** Creates an agent that asks the scripted model and returns its key. */
export async function anAgent(caller: Caller, input: Partial<CreateAgentInput> = {}): Promise<string> {
  const key = `a-${newId().slice(-12)}`;
  await createAgent(caller, { key, name: "A", instructions: "Help.", model: "gpt-4.1", tools: [], ...input });
  return key;
}

/** A dispatcher that ends with the test, also when that fails: one that is left would take the runs of the tests that follow. Returns how to end it before. */
export async function aDispatcher(options: DispatchOptions): ReturnType<typeof startDispatcher> {
  const drain = await startDispatcher(options);
  onTestFinished(() => drain());
  return drain;
}

/** Works on the run in the background, as one worker with one lease; resolves when the worker lets go of it. */
export function workOn(caller: Caller, runId: string, signal = new AbortController().signal): Promise<void> {
  return advanceRun(caller, { runId }, { signal, log: logger });
}

/** A worker takes the run, begins what it has to do, and dies: its lease has run out. */
export async function dieAtStep({ owner }: TestDatabase, caller: Caller, runId: string): Promise<void> {
  const run = await withTenant(caller, (tx) => takeLease(tx, runId));
  if (run) await takeFound(run).begin();
  await owner.query(
    "UPDATE agent.run SET lease_expires_at = now() - interval '1 second', due_at = now() WHERE id = $1 AND ended_at IS NULL",
    [runId],
  );
}

/** Waits until readers have been shown text of the run that ends so. */
export async function untilShown(caller: Caller, runId: string, ending: string): Promise<void> {
  await eventually(async () => (await shownText(caller, runId)).endsWith(ending), { timeoutMs: 20_000 });
}

/** What readers have been shown, void attempts included. */
export async function shownText(caller: Caller, runId: string): Promise<string> {
  const pieces = (await journalOf(caller, runId)).filter(({ type }) => type === "agent.run.tokenDelta");
  return pieces.map(({ payload }) => String(payload["text"])).join("");
}

/** The statuses that a run went through. */
export async function statusesOf(caller: Caller, runId: string): Promise<unknown[]> {
  return (await journalOf(caller, runId))
    .filter(({ type }) => type === "agent.run.statusChanged")
    .map(({ payload }) => payload["to"]);
}

/** Who did what to which of a tenant's runs, as the audit log has it. */
export async function auditedRuns({ owner }: TestDatabase, { tenantId }: Caller): Promise<unknown[]> {
  const { rows } = await owner.query(
    `SELECT action, principal_id AS by, target, details FROM platform.audit_entry
     WHERE tenant_id = $1 AND action LIKE 'agent.run.%' ORDER BY at, id`,
    [tenantId],
  );
  return rows;
}

const ALWAYS: Readonly<Record<string, string>> = {
  "ends, waits for a person, its thread or its children, or is due": `
    SELECT r.id FROM agent.run r WHERE r.tenant_id = $1 AND r.ended_at IS NULL AND r.due_at IS NULL
    AND r.status NOT IN ('AWAITING_APPROVAL', 'AWAITING_INPUT', 'PAUSED') AND NOT r.waits_for_thread
    AND NOT (r.status = 'WAITING_TOOL' AND EXISTS (SELECT FROM agent.run c WHERE c.parent_run_id = r.id AND c.ended_at IS NULL))`,
  "is the only one of its thread that does not wait, unless the others are being cancelled": `
    SELECT r.id FROM agent.run r JOIN agent.run e ON e.thread_id = r.thread_id AND e.id < r.id
    WHERE r.tenant_id = $1 AND r.ended_at IS NULL AND e.ended_at IS NULL AND NOT r.waits_for_thread`,
  "holds nothing while it waits or has ended": `
    SELECT r.id FROM agent.run r WHERE r.tenant_id = $1 AND r.lease_expires_at IS NOT NULL AND r.due_at IS NULL`,
  "has one terminal event, which is its last, once it has ended": `
    SELECT r.id FROM agent.run r JOIN platform.stream s ON s.id = 'run:' || r.id WHERE r.tenant_id = $1
    AND (SELECT coalesce(array_agg(e.seq), '{}') FROM platform.event e WHERE e.stream = s.id AND e.type IN ('agent.run.finished', 'agent.run.failed'))
      <> CASE WHEN r.ended_at IS NULL THEN '{}'::int[] ELSE ARRAY[s.last_seq] END`,
  "has events without a gap": `
    SELECT r.id FROM agent.run r JOIN platform.stream s ON s.id = 'run:' || r.id WHERE r.tenant_id = $1
    AND (SELECT array_agg(e.seq ORDER BY e.seq) FROM platform.event e WHERE e.stream = s.id)
      <> ARRAY(SELECT generate_series(1, s.last_seq))`,
  "moves from each status to the next, up to the one that it has": `
    SELECT id FROM (
      SELECT r.id, r.status, e.payload->>'from' AS before, e.payload->>'to' AS after,
             lag(e.payload->>'to') OVER all_of AS previous, lead(e.seq) OVER all_of AS next
      FROM agent.run r JOIN platform.event e ON e.stream = 'run:' || r.id AND e.type = 'agent.run.statusChanged'
      WHERE r.tenant_id = $1 WINDOW all_of AS (PARTITION BY r.id ORDER BY e.seq)) moves
    WHERE before IS DISTINCT FROM previous OR (next IS NULL AND after <> status)`,
};

/** What is true of every run of a tenant at any moment between two commits. */
export async function expectSoundRuns({ owner }: TestDatabase, { tenantId }: Caller): Promise<void> {
  for (const [rule, violations] of Object.entries(ALWAYS)) {
    const { rows } = await owner.query(violations, [tenantId]);
    expect(rows, rule).toEqual([]);
  }
  const ended = "SELECT id FROM agent.run WHERE tenant_id = $1 AND ended_at IS NOT NULL";
  const { rows } = await owner.query<{ id: string }>(ended, [tenantId]);
  for (const { id } of rows) expect((await replayRun({ tenantId }, id)).difference, "can be replayed").toBeUndefined();
}
