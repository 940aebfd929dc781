import { PRICE_LIST_VERSION, priceUsage, recordNewUsage, recordUsage, type UsageInput } from "@sba/billing/index";
import { requirePermission, type Caller, type TenantScope } from "@sba/platform/caller";
import { ints, texts, uuids } from "@sba/platform/columns";
import { json, type Tx } from "@sba/platform/db";
import { canonicalJson } from "@sba/platform/idempotency";
import { reader } from "@sba/platform/reader";
import type { ToolCall as ToolCallRow } from "@sba/platform/generated/prisma/client";
import { errors } from "../errors.ts";
import type { Tool } from "../tool/tool.ts";
import { paramsInvalid, type ToolFailure, type ToolOutcome } from "./execute.ts";
import { toStorableJson } from "./json-value.ts";

export type ToolCallStatus = "REQUESTED" | "SUCCEEDED" | "FAILED" | "UNKNOWN";

/**
 * One call of a tool: asked for before it runs, answered after. Its id is the idempotency key that the tool receives.
 * `begunAt` is set before a tool that must not be called twice is called, `unknownAt` when nobody could say what it did.
 */
export interface ToolCall extends Omit<ToolCallRow, "status" | "error" | "params" | "result"> {
  readonly status: ToolCallStatus;
  readonly params: unknown;
  /** Null until it succeeded. */
  readonly result: unknown;
  readonly error: ToolFailure | null;
  /** Null while it is under way or its outcome is unknown. `durationMs` is null for a call that never ran, too. */
  readonly success: boolean | null;
}

/** A usage line of billing, as `recordUsage` gives it. */
type UsageLines = Awaited<ReturnType<typeof recordUsage>>;

/** A call with its outcome. `usage` holds what this recording metered: nothing when it had been recorded before. */
export interface RecordedToolCall extends ToolCall {
  readonly usage: UsageLines;
}

export interface ToolCallRequest {
  /** UUID; a repeat with the same id is the same call. */
  readonly id: string;
  readonly tool: Tool;
  readonly params: unknown;
  readonly runId?: string | undefined;
  readonly stepNumber?: number | undefined;
  readonly agentKey?: string | undefined;
}

/** Parameters are stored with the call: 512 KiB as JSON. */
const MAX_PARAMS_BYTES = 512 * 1024;

/**
 * Records that a tool is about to be called, in the caller's transaction. A repeat returns the stored call, whatever
 * its status.
 * @throws PERMISSION_MISSING when the caller does not hold what the tool requires.
 * @throws INTEGRATIONS_TOOL_PARAMS_INVALID naming each parameter that is wrong.
 * @throws INTEGRATIONS_TOOL_CALL_REUSED when the id belongs to a call of another tool or with other parameters.
 */
export async function requestToolCall(
  tx: Tx,
  caller: Caller,
  { id, tool, params, runId, stepNumber, agentKey }: ToolCallRequest,
): Promise<ToolCall> {
  for (const permission of tool.requires) requirePermission(caller, permission);
  const parsed = parseParams(tool, params);
  const [inserted] = await tx.sql<ToolCallRow>`
    INSERT INTO integrations.tool_call (tenant_id, id, name, version, definition_hash, params, status, run_id, step_number, agent_key, requested_at)
    VALUES (${caller.tenantId}, ${id}, ${tool.name}, ${tool.version}, ${tool.definitionHash}, ${parsed}::jsonb, 'REQUESTED',
            ${runId ?? null}, ${stepNumber ?? null}, ${agentKey ?? null}, clock_timestamp())
    ON CONFLICT (tenant_id, id) DO NOTHING RETURNING *`;
  if (inserted) return toToolCall(inserted);
  const call = await getToolCall(tx, caller, id);
  const same =
    call.name === tool.name &&
    call.version === tool.version &&
    canonicalJson(call.params) === canonicalJson(JSON.parse(parsed));
  if (!same) throw errors.INTEGRATIONS_TOOL_CALL_REUSED({ details: { tool: tool.name } });
  return call;
}

/**
 * A new call as it is to be stored by `recordNewToolCalls`.
 * @throws PERMISSION_MISSING, INTEGRATIONS_TOOL_PARAMS_INVALID as `requestToolCall`
 */
export function makeToolCall(
  caller: Caller,
  { id, tool, params, runId, stepNumber, agentKey }: ToolCallRequest,
): ToolCall {
  for (const permission of tool.requires) requirePermission(caller, permission);
  return {
    tenantId: caller.tenantId,
    id,
    name: tool.name,
    version: tool.version,
    definitionHash: tool.definitionHash,
    params: JSON.parse(parseParams(tool, params)) as unknown,
    status: "REQUESTED",
    success: null,
    result: null,
    error: null,
    durationMs: null,
    begunAt: null,
    unknownAt: null,
    runId: runId ?? null,
    stepNumber: stepNumber ?? null,
    agentKey: agentKey ?? null,
    requestedAt: new Date(),
    finishedAt: null,
  };
}

/** Records that tools are about to be called, in the caller's transaction; their ids are new. Nothing of it needs an answer. */
export function recordNewToolCalls(tx: Tx, calls: readonly ToolCall[]): void {
  tx.gather(insertCalls, calls);
}

function insertCalls(tx: Tx, calls: readonly ToolCall[]): Promise<unknown> {
  return tx.sql`
    INSERT INTO integrations.tool_call (tenant_id, id, name, version, definition_hash, params, status, run_id, step_number, agent_key, requested_at)
    SELECT ${tx.tenantId}, (${uuids(calls, ({ id }) => id)}::uuid[])[i], (${texts(calls, ({ name }) => name)}::text[])[i],
           (${ints(calls, ({ version }) => version)}::int[])[i], (${texts(calls, ({ definitionHash }) => definitionHash)}::text[])[i],
           (${texts(calls, ({ params }) => json(params))}::text[])[i]::jsonb, 'REQUESTED', (${uuids(calls, ({ runId }) => runId)}::uuid[])[i],
           (${ints(calls, ({ stepNumber }) => stepNumber)}::int[])[i], (${texts(calls, ({ agentKey }) => agentKey)}::text[])[i], clock_timestamp()
    FROM generate_series(1, ${calls.length}::int) AS i`;
}

/** The parsed parameters as JSON. @throws INTEGRATIONS_TOOL_PARAMS_INVALID */
function parseParams(tool: Tool, params: unknown): string {
  const parsed = tool.params.safeParse(params);
  if (!parsed.success) throw paramsInvalid(tool, parsed.error);
  const text = toStorableJson(parsed.data);
  if (text === undefined || Buffer.byteLength(text) > MAX_PARAMS_BYTES) {
    throw errors.INTEGRATIONS_TOOL_PARAMS_INVALID({
      message: `The parameters of ${tool.name} must be JSON text of at most ${MAX_PARAMS_BYTES} bytes, without NUL characters.`,
      details: { tool: tool.name },
    });
  }
  return text;
}

/**
 * Replaces the parameters of a call that has not run yet, with what the tool's schema makes of them.
 * @throws INTEGRATIONS_TOOL_PARAMS_INVALID
 * @throws INTEGRATIONS_TOOL_CALL_NOT_FOUND when there is no such call, or it has run.
 */
export async function amendToolCall(
  tx: Tx,
  caller: Caller,
  call: { readonly id: string; readonly tool: Tool; readonly params: unknown },
): Promise<ToolCall> {
  const parsed = parseParams(call.tool, call.params);
  const [amended] = await tx.sql<ToolCallRow>`
    UPDATE integrations.tool_call SET params = ${parsed}::jsonb
    WHERE tenant_id = ${caller.tenantId} AND id = ${call.id} AND status = 'REQUESTED' RETURNING *`;
  if (!amended) throw errors.INTEGRATIONS_TOOL_CALL_NOT_FOUND();
  return toToolCall(amended);
}

/** Binds a call that has not run yet to its tool as it is defined now, which a person is asked about. Nothing of it needs an answer. */
export function rebindToolCall(tx: Tx, caller: Caller, { id, version, definitionHash }: ToolCall): void {
  void tx.sql`
    UPDATE integrations.tool_call SET version = ${version}, definition_hash = ${definitionHash}
    WHERE tenant_id = ${caller.tenantId} AND id = ${id} AND status = 'REQUESTED'`;
}

/**
 * Records how a call ended and meters it, in the caller's transaction. The first outcome stays: a repeat changes and
 * meters nothing and returns the stored call.
 * @throws INTEGRATIONS_TOOL_CALL_NOT_FOUND
 */
export async function recordToolOutcome(
  tx: Tx,
  caller: Caller,
  callId: string,
  outcome: ToolOutcome,
): Promise<RecordedToolCall> {
  const [recorded] = await writeOutcome(tx, caller, callId, outcome);
  if (!recorded) return { ...(await getToolCall(tx, caller, callId)), usage: [] };
  const { wasUnknown, ...row } = recorded;
  const usage = wasRun(outcome) && !wasUnknown ? await recordUsage(tx, caller, usageOf(row)) : [];
  return { ...toToolCall(row), usage };
}

function writeOutcome(
  tx: Tx,
  caller: Caller,
  callId: string,
  outcome: ToolOutcome,
): Promise<(ToolCallRow & { readonly wasUnknown: boolean })[]> {
  const status = statusOf(outcome);
  const result = outcome.ok ? json(outcome.result) : null;
  const error = outcome.ok ? null : json(outcome.error);
  return tx.sql`
    WITH before AS (
      SELECT unknown_at FROM integrations.tool_call WHERE tenant_id = ${caller.tenantId} AND id = ${callId} AND status = 'REQUESTED' FOR UPDATE)
    UPDATE integrations.tool_call
    SET status = ${status}, result = ${result}::jsonb, error = ${error}::jsonb, duration_ms = ${durationOf(outcome)},
        unknown_at = CASE WHEN ${status} = 'UNKNOWN' THEN clock_timestamp() ELSE tool_call.unknown_at END,
        finished_at = CASE WHEN ${status} = 'UNKNOWN' THEN NULL ELSE clock_timestamp() END
    FROM before WHERE tenant_id = ${caller.tenantId} AND id = ${callId} RETURNING tool_call.*, before.unknown_at IS NOT NULL AS was_unknown`;
}

interface SettledRow {
  readonly id: string;
  readonly status: ToolCallStatus;
  /** JSON: a result that is JSON's null is not SQL's. */
  readonly result: string | null;
  /** JSON. */
  readonly error: string | null;
  readonly durationMs: number | null;
}

function settledRow(id: string, outcome: ToolOutcome): SettledRow {
  const [result, error] = outcome.ok ? [json(outcome.result), null] : [null, json(outcome.error)];
  return { id, status: statusOf(outcome), result, error, durationMs: durationOf(outcome) };
}

// The ids twice: by the array the rows are found in the primary key, whatever the planner thinks of the table.
function settleCalls(tx: Tx, rows: readonly SettledRow[]): Promise<unknown> {
  const ids = uuids(rows, ({ id }) => id);
  return tx.sql`
    UPDATE integrations.tool_call AS call
    SET status = settled.status, result = settled.result::jsonb, error = settled.error::jsonb, duration_ms = settled.duration_ms,
        unknown_at = CASE WHEN settled.status = 'UNKNOWN' THEN clock_timestamp() ELSE call.unknown_at END,
        finished_at = CASE WHEN settled.status = 'UNKNOWN' THEN NULL ELSE clock_timestamp() END
    FROM (
      SELECT (${ids}::uuid[])[i] AS id, (${texts(rows, ({ status }) => status)}::text[])[i] AS status,
             (${texts(rows, ({ result }) => result)}::text[])[i] AS result, (${texts(rows, ({ error }) => error)}::text[])[i] AS error,
             (${ints(rows, ({ durationMs }) => durationMs)}::int[])[i] AS duration_ms
      FROM generate_series(1, ${rows.length}::int) AS i) AS settled
    WHERE call.tenant_id = ${tx.tenantId} AND call.id = ANY(${ids}::uuid[]) AND call.id = settled.id AND call.status = 'REQUESTED'`;
}

function wasRun(outcome: ToolOutcome): boolean {
  return outcome.ok || outcome.notRun !== true;
}

/** Null for a call that never ran, and for one that was cut off. */
function durationOf(outcome: ToolOutcome): number | null {
  return wasRun(outcome) && statusOf(outcome) !== "UNKNOWN" ? outcome.durationMs : null;
}

/** The call with its outcome and what that costs by a price list, as `recordSettledCall` stores it. */
export function settleToolCall(call: ToolCall, outcome: ToolOutcome, priceListVersion?: number): RecordedToolCall {
  const status = statusOf(outcome);
  return {
    ...call,
    status,
    success: SUCCESS[status],
    result: outcome.ok ? outcome.result : null,
    error: outcome.ok ? null : outcome.error,
    durationMs: durationOf(outcome),
    unknownAt: status === "UNKNOWN" ? new Date() : call.unknownAt,
    finishedAt: status === "UNKNOWN" ? null : new Date(),
    usage: isToMeter(call, outcome) ? priceUsage(usageOf(call).lines, priceListVersion) : [],
  };
}

/** A call that ran is metered once, however often an operator has it tried again. */
function isToMeter(call: ToolCall, outcome: ToolOutcome): boolean {
  return wasRun(outcome) && call.unknownAt === null;
}

/**
 * As `recordToolOutcome`, for who alone moves the call: nothing of it needs an answer, so that its statements travel with
 * others.
 */
export function recordSettledCall(
  tx: Tx,
  caller: Caller,
  call: ToolCall,
  outcome: ToolOutcome,
  priceListVersion: number = PRICE_LIST_VERSION,
): void {
  tx.gather(settleCalls, [settledRow(call.id, outcome)]);
  if (isToMeter(call, outcome)) recordNewUsage(tx, caller, { ...usageOf(call), priceListVersion });
}

/** The same of a call that was metered when it began, for work that goes on after it. */
export function recordLateOutcome(tx: Tx, caller: Caller, callId: string, outcome: ToolOutcome): void {
  void writeOutcome(tx, caller, callId, outcome);
}

function usageOf(call: Pick<ToolCallRow, "id" | "runId" | "agentKey">): UsageInput {
  return {
    key: call.id,
    lines: [{ meter: "tool.called", quantity: 1n }],
    ...(call.runId === null ? {} : { runId: call.runId }),
    ...(call.agentKey === null ? {} : { agentKey: call.agentKey }),
  };
}

function statusOf(outcome: ToolOutcome): ToolCallStatus {
  if (outcome.ok) return "SUCCEEDED";
  return outcome.unknown === true ? "UNKNOWN" : "FAILED";
}

/** The calls with these UUIDs that exist, in no order. */
export async function listToolCalls(caller: Caller, ids: readonly string[]): Promise<ToolCall[]> {
  const rows = await reader(caller).toolCall.findMany({ where: { tenantId: caller.tenantId, id: { in: [...ids] } } });
  return rows.map(toToolCall);
}

/** The calls with these UUIDs that exist, in the caller's transaction, in no order. */
export async function readToolCalls(tx: Tx, { tenantId }: TenantScope, ids: readonly string[]): Promise<ToolCall[]> {
  const rows = await tx.sql<ToolCallRow>`
    SELECT * FROM integrations.tool_call WHERE tenant_id = ${tenantId} AND id = ANY(${[...ids]}::uuid[])`;
  return rows.map(toToolCall);
}

/** One call, in the caller's transaction. @throws INTEGRATIONS_TOOL_CALL_NOT_FOUND */
export async function getToolCall(tx: Tx, caller: Caller, id: string): Promise<ToolCall> {
  const [row] = await tx.sql<ToolCallRow>`
    SELECT * FROM integrations.tool_call WHERE tenant_id = ${caller.tenantId} AND id = ${id}`;
  if (!row) throw errors.INTEGRATIONS_TOOL_CALL_NOT_FOUND();
  return toToolCall(row);
}

const SUCCESS: Record<ToolCallStatus, boolean | null> = {
  REQUESTED: null,
  SUCCEEDED: true,
  FAILED: false,
  UNKNOWN: null,
};

/** The columns that hold a closed set or JSON are written by this file only, so their types are known here. */
export function toToolCall(row: ToolCallRow): ToolCall {
  const status = row.status as ToolCallStatus;
  return { ...row, status, error: row.error as ToolFailure | null, success: SUCCESS[status] };
}
