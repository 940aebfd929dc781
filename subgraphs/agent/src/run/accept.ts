import { priceUsage, recordNewUsage, settleSlice, type UsageLine } from "@sba/billing/index";
import type { Caller } from "@sba/platform/caller";
import { json, type Tx } from "@sba/platform/db";
import { gatherEvents, type NewEvent } from "@sba/platform/events";
import { requireNotSuspended } from "@sba/platform/suspension";
import { currentTraceId, currentTraceparent } from "@sba/platform/telemetry";
import { pinVersion, type RunPin } from "../agent/version.ts";
import { runStatusChanged, runStream, usageRecorded } from "../events.ts";
import { appendMessages, firstMessage } from "../thread/message.ts";
import { insertThread } from "../thread/thread.ts";
import type { Admission } from "./admission.ts";
import { costOf, START_USAGE } from "./budget.ts";
import type { RunOptions, RunStart } from "./run.ts";
import { usageSnapshot } from "./usage.ts";
import { nameDue } from "./wake.ts";

/** What accepting a run writes: its row, first message, first events, meter and wake-up. */

export interface AcceptRunOptions {
  /** What `admitRun` gave it. */
  readonly admission: Admission;
  /** A higher domain waits for its end. */
  readonly announcesEnd: boolean;
  /** The transaction has it rest: it is nobody's turn. */
  readonly rests?: boolean;
  /** Of the work that accepts it, when another's commit does so. */
  readonly trace?: Trace;
}

/** Names the work under way, as events and the run itself carry it. */
export interface Trace {
  readonly id: string | undefined;
  readonly parent: string | undefined;
}

export function currentTrace(): Trace {
  return { id: currentTraceId(), parent: currentTraceparent() };
}

/** Accepts a run on the caller's behalf, unless the tenant is suspended. Nothing of it needs an answer: others may accept runs in the same statements. */
export function insertRun(
  tx: Tx,
  caller: Caller,
  start: RunStart,
  { admission: { slot, budgeted }, announcesEnd, rests = false, trace = currentTrace() }: AcceptRunOptions,
): void {
  const { id, input, agent, waitsForThread = false } = start;
  requireNotSuspended(tx, caller);
  const threadId = start.threadId ?? insertThread(tx, caller, agent.id);
  const usage = priceUsage(START_USAGE);
  tx.gather(insertRuns, [
    {
      ...{ id, threadId, agentId: agent.id, agentKey: agent.key, prompt: input.prompt, options: input.options ?? {} },
      ...pinVersion(agent.version),
      ...{ tenantId: caller.tenantId, startedBy: caller.principalId, startedByKind: caller.principalKind },
      ...{ permissions: [...caller.permissions], requestId: caller.requestId, traceparent: trace.parent ?? null },
      ...{ spentMicros: String(costOf(usage)), announcesEnd, slot, budgeted, waitsForThread },
    },
  ]);
  recordNewUsage(tx, caller, { key: `run:${id}`, lines: START_USAGE, runId: id, agentKey: agent.key });
  if (budgeted) settleSlice(tx, caller, { runId: id, spentMicros: costOf(usage) });
  // One that has to wait is named by whoever ends its wait.
  if (!rests && !waitsForThread && slot !== "WAITING")
    nameDue(tx, budgeted || start.said ? { woken: { id } } : { accepted: { id, traceId: trace.id } });
  appendMessages(tx, start.said ?? [firstMessage(caller, id, input.prompt)]);
  gatherEvents(
    tx,
    acceptedEvents(usage).map((event) => ({ stream: runStream(id), event, traceId: trace.id })),
  );
}

/** What readers are told of a run that is accepted. */
export function acceptedEvents(usage: readonly UsageLine[]): NewEvent[] {
  return [runStatusChanged({ from: null, to: "CREATED" }), usageRecorded({ usage: usage.map(usageSnapshot) })];
}

/** What the columns of a new run are filled with. */
interface NewRun extends RunPin {
  readonly tenantId: string;
  readonly id: string;
  readonly threadId: string;
  readonly agentId: string;
  readonly agentKey: string;
  readonly prompt: string;
  readonly options: RunOptions;
  readonly startedBy: string;
  readonly startedByKind: string;
  readonly permissions: readonly string[];
  readonly requestId: string;
  readonly spentMicros: string;
  readonly announcesEnd: boolean;
  readonly traceparent: string | null;
  readonly slot: Admission["slot"];
  readonly budgeted: boolean;
  readonly waitsForThread: boolean;
}

function insertRuns(tx: Tx, runs: readonly NewRun[]): Promise<unknown> {
  return tx.sql`
    INSERT INTO agent.run (tenant_id, id, thread_id, agent_id, agent_version_id, agent_key, model, tool_hashes, price_list_version, status, prompt, options,
                           started_by, started_by_kind, permissions, request_id, spent_micros, announces_end, traceparent, slot, budgeted, waits_for_thread, due_at)
    SELECT "tenantId", id, "threadId", "agentId", "agentVersionId", "agentKey", model, "toolHashes", "priceListVersion", 'CREATED', prompt, options,
           "startedBy", "startedByKind", permissions, "requestId", "spentMicros", "announcesEnd", traceparent, slot, budgeted, "waitsForThread",
           CASE WHEN slot IS DISTINCT FROM 'WAITING' AND NOT "waitsForThread" THEN clock_timestamp() END
    FROM json_to_recordset(${json(runs)}) AS accepted ("tenantId" uuid, id uuid, "threadId" uuid, "agentId" uuid, "agentVersionId" uuid,
      "agentKey" text, model text, "toolHashes" jsonb, "priceListVersion" int, prompt text, options jsonb, "startedBy" uuid, "startedByKind" text,
      permissions text[], "requestId" text, "spentMicros" bigint, "announcesEnd" boolean, traceparent text, slot text, budgeted boolean,
      "waitsForThread" boolean)`;
}
