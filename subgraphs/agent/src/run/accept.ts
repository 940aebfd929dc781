import { priceUsage, recordNewUsage, settleSlice, type UsageLine } from "@sba/billing/index";
import type { Caller } from "@sba/platform/caller";
import { bigints, booleans, ints, texts, uuids } from "@sba/platform/columns";
import { json, type Tx } from "@sba/platform/db";
import { gatherEvents, type NewEvent } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import type { Permission } from "@sba/platform/permissions";
import { requireNotSuspended } from "@sba/platform/suspension";
import { currentTraceId, currentTraceparent } from "@sba/platform/telemetry";
import { pinVersion, type RunPin } from "../agent/version.ts";
import { runStatusChanged, runStream, usageRecorded } from "../events.ts";
import { appendMessages, firstMessage } from "../thread/message.ts";
import { insertThread } from "../thread/thread.ts";
import type { Admission } from "./admission.ts";
import { costOf, START_USAGE } from "./budget.ts";
import type { Run } from "./read.ts";
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

/**
 * Accepts a run on the caller's behalf, unless the tenant is suspended; others may accept runs in the same statements. Resolves with
 * the run as it is accepted, for who asks.
 */
export function insertRun(
  tx: Tx,
  caller: Caller,
  start: RunStart,
  { admission: { slot, budgeted }, announcesEnd, rests = false, trace = currentTrace() }: AcceptRunOptions,
): Promise<Run> {
  const { id, input, agent, waitsForThread = false } = start;
  requireNotSuspended(tx, caller);
  const threadId = start.threadId ?? insertThread(tx, agent.id);
  const usage = priceUsage(START_USAGE);
  const inserted = tx.gatherFor(insertRuns, [
    {
      ...{ id, threadId, agentId: agent.id, agentKey: agent.key, prompt: input.prompt, options: input.options ?? {} },
      ...pinVersion(agent.version),
      ...{ startedBy: caller.principalId, startedByKind: caller.principalKind },
      ...{ permissions: [...caller.permissions], requestId: caller.requestId, traceparent: trace.parent ?? null },
      ...{ spentMicros: costOf(usage), announcesEnd, slot, budgeted, waitsForThread },
    },
  ]);
  recordNewUsage(tx, caller, { key: `run:${id}`, lines: START_USAGE, runId: id, agentKey: agent.key });
  if (budgeted) settleSlice(tx, caller, { runId: id, spentMicros: costOf(usage) });
  // One that has to wait is named by whoever ends its wait.
  if (!rests && !waitsForThread && slot !== "WAITING")
    nameDue(tx, budgeted || start.said ? { woken: { id } } : { accepted: { id, traceId: trace.id } });
  appendMessages(tx, start.said ?? [firstMessage(caller, id, input.prompt)]);
  const events = acceptedEvents(usage);
  gatherEvents(
    tx,
    events.map((event) => ({ stream: runStream(id), event, traceId: trace.id })),
  );
  const accepted = inserted.then((rows) => ({ ...rows.find((row) => row.id === id)!, lastSeq: events.length }));
  accepted.catch(() => undefined); // heard by the commit, and by who asked
  return accepted;
}

/** What readers are told of a run that is accepted. */
export function acceptedEvents(usage: readonly UsageLine[]): NewEvent[] {
  return [runStatusChanged({ from: null, to: "CREATED" }), usageRecorded({ usage: usage.map(usageSnapshot) })];
}

/** What the columns of a new run are filled with. */
interface NewRun extends RunPin {
  readonly id: string;
  readonly threadId: string;
  readonly agentId: string;
  readonly agentKey: string;
  readonly prompt: string;
  readonly options: RunOptions;
  readonly startedBy: string;
  readonly startedByKind: string;
  readonly permissions: readonly Permission[];
  readonly requestId: string;
  readonly spentMicros: bigint;
  readonly announcesEnd: boolean;
  readonly traceparent: string | null;
  readonly slot: Admission["slot"];
  readonly budgeted: boolean;
  readonly waitsForThread: boolean;
}

function insertRuns(tx: Tx, runs: readonly NewRun[]): Promise<RunRow[]> {
  return tx.sql<RunRow>`
    INSERT INTO agent.run (tenant_id, id, thread_id, agent_id, agent_version_id, agent_key, model, tool_hashes, price_list_version, status, prompt, options,
                           started_by, started_by_kind, permissions, request_id, spent_micros, announces_end, traceparent, slot, budgeted, waits_for_thread, due_at)
    SELECT ${tx.tenantId}, (${uuids(runs, ({ id }) => id)}::uuid[])[i], (${uuids(runs, ({ threadId }) => threadId)}::uuid[])[i],
           (${uuids(runs, ({ agentId }) => agentId)}::uuid[])[i], (${uuids(runs, ({ agentVersionId }) => agentVersionId)}::uuid[])[i],
           (${texts(runs, ({ agentKey }) => agentKey)}::text[])[i], (${texts(runs, ({ model }) => model)}::text[])[i],
           (${texts(runs, ({ toolHashes }) => json(toolHashes))}::text[])[i]::jsonb, (${ints(runs, (run) => run.priceListVersion)}::int[])[i],
           'CREATED', (${texts(runs, ({ prompt }) => prompt)}::text[])[i], (${texts(runs, ({ options }) => json(options))}::text[])[i]::jsonb,
           (${uuids(runs, ({ startedBy }) => startedBy)}::uuid[])[i], (${texts(runs, ({ startedByKind }) => startedByKind)}::text[])[i],
           (${texts(runs, ({ permissions }) => `{${permissions.join()}}`)}::text[])[i]::text[],
           (${texts(runs, ({ requestId }) => requestId)}::text[])[i], (${bigints(runs, ({ spentMicros }) => spentMicros)}::bigint[])[i],
           (${booleans(runs, ({ announcesEnd }) => announcesEnd)}::boolean[])[i], (${texts(runs, ({ traceparent }) => traceparent)}::text[])[i],
           (${texts(runs, ({ slot }) => slot)}::text[])[i], (${booleans(runs, ({ budgeted }) => budgeted)}::boolean[])[i],
           (${booleans(runs, ({ waitsForThread }) => waitsForThread)}::boolean[])[i],
           CASE WHEN (${booleans(runs, ({ slot, waitsForThread }) => slot !== "WAITING" && !waitsForThread)}::boolean[])[i] THEN clock_timestamp() END
    FROM generate_series(1, ${runs.length}::int) AS i
    RETURNING *`;
}
