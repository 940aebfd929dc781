import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { json, withTenantOnce, type Tx } from "@sba/platform/db";
import type { AppError } from "@sba/platform/errors";
import { appendEvents, quietly } from "@sba/platform/events";
import type { ToolCall as ToolCallRow } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { errors } from "../errors.ts";
import { toolCallResolved, toolCallStream } from "../events.ts";
import type { Tool } from "../tool/tool.ts";
import { describeIssues, MAX_RESULT_BYTES, type ToolFailure } from "./execute.ts";
import { toStorableJson } from "./json-value.ts";
import { getToolCall, toToolCall, type ToolCall } from "./tool-call.ts";

/** Calls that nobody but an operator can say anything about, and what the operator says. */

export const RESOLUTIONS = ["SUCCEEDED", "FAILED", "RETRY"] as const;
/** RETRY: it did nothing, or doing it again does no harm. */
export type Resolution = (typeof RESOLUTIONS)[number];

export interface ResolveToolCallInput {
  /** UUID. */
  readonly toolCallId: string;
  readonly outcome: Resolution;
  /** What the tool would have answered; with SUCCEEDED only, and of the shape that the tool declares. */
  readonly result?: unknown;
  /** For the audit log and, of a failure, for who asked for the call. */
  readonly reason?: string | undefined;
}

/**
 * Says what became of a call whose outcome is unknown: once, audited. RETRY makes it REQUESTED, to be called once more.
 * Who waits for the call is not woken here, except by `integrations.toolCall.resolved` when it is not a run's.
 * @param tool what the result is checked by; undefined when it no longer exists
 * @throws INTEGRATIONS_TOOL_CALL_NOT_FOUND, INTEGRATIONS_TOOL_CALL_NOT_UNKNOWN, INTEGRATIONS_TOOL_RESOLUTION_INVALID, PERMISSION_MISSING
 */
export async function resolveToolCall(
  tx: Tx,
  caller: Caller,
  input: ResolveToolCallInput,
  tool: Tool | undefined,
): Promise<ToolCall> {
  requirePermission(caller, "toolcall:resolve");
  const { toolCallId, outcome, reason } = input;
  const result = readResult(tool, input);
  const error = outcome === "FAILED" ? json(failureOf(reason)) : null;
  const [row] = await tx.sql<ToolCallRow>`
    UPDATE integrations.tool_call
    SET status = ${outcome === "RETRY" ? "REQUESTED" : outcome}, result = ${result}::jsonb, error = ${error}::jsonb, begun_at = NULL,
        finished_at = CASE WHEN ${outcome} = 'RETRY' THEN NULL ELSE clock_timestamp() END
    WHERE tenant_id = ${caller.tenantId} AND id = ${toolCallId} AND status = 'UNKNOWN' RETURNING *`;
  if (!row) {
    const { status } = await getToolCall(tx, caller, toolCallId);
    throw errors.INTEGRATIONS_TOOL_CALL_NOT_UNKNOWN({ details: { status } });
  }
  await announce(tx, caller, row, input);
  return toToolCall(row);
}

/** The result as JSON, null without one. @throws INTEGRATIONS_TOOL_RESOLUTION_INVALID */
function readResult(tool: Tool | undefined, { outcome, result }: ResolveToolCallInput): string | null {
  if (outcome !== "SUCCEEDED") {
    if ((result ?? null) === null) return null;
    throw invalid("Only a call that succeeded has a result.");
  }
  const parsed = tool?.result.safeParse(result);
  if (parsed?.error) throw invalid(`This is no result of ${tool?.name}: ${describeIssues(parsed.error)}`);
  const text = toStorableJson((parsed ? parsed.data : result) ?? null);
  if (text !== undefined && Buffer.byteLength(text) <= MAX_RESULT_BYTES) return text;
  throw invalid(`A result is JSON text of at most ${MAX_RESULT_BYTES} bytes, without NUL characters.`);
}

function invalid(message: string): AppError {
  return errors.INTEGRATIONS_TOOL_RESOLUTION_INVALID({ message });
}

/** What who asked for the call is told. */
function failureOf(reason: string | undefined): ToolFailure {
  const { code, message, retryable } = errors.INTEGRATIONS_TOOL_RESOLVED_FAILED();
  return { code, message: reason === undefined ? message : `${message} ${reason}`, retryable };
}

async function announce(
  tx: Tx,
  caller: Caller,
  { id, name, runId, status }: ToolCallRow,
  { outcome, reason }: ResolveToolCallInput,
): Promise<void> {
  const resolved = toolCallResolved({ toolCallId: id, runId, status });
  await Promise.all([
    recordAudit(tx, caller, {
      action: "integrations.toolCall.resolved",
      target: encodeId("ToolCall", id),
      details: { tool: name, outcome, reason: reason ?? null, runId },
    }),
    appendEvents(tx, caller, toolCallStream(id), [runId === null ? resolved : quietly(resolved)]),
  ]);
}

/** The calls that wait for an operator, newest first. */
export async function listUnknownToolCalls(caller: Caller, page: PageRequest): Promise<Page<ToolCall>> {
  const before = decodeIdCursor(page.after) ?? null;
  const rows = await withTenantOnce(
    caller,
    (tx) => tx.sql<ToolCallRow>`
    SELECT * FROM integrations.tool_call
    WHERE tenant_id = ${caller.tenantId} AND status = 'UNKNOWN' AND (${before}::uuid IS NULL OR id < ${before}::uuid)
    ORDER BY id DESC LIMIT ${page.first + 1}`,
  );
  return toPage(rows.map(toToolCall), page.first);
}
