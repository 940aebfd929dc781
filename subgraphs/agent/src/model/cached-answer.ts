import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { TenantScope } from "@sba/platform/caller";
import { systemTx, withTenant } from "@sba/platform/db";
import { ensureAppError, platformErrors } from "@sba/platform/errors";
import { canonicalJson } from "@sba/platform/idempotency";
import { logger } from "@sba/platform/log";
import type { ModelAnswer } from "./call.ts";
import type { ModelMessage, ModelRequest, ModelToolCall } from "./model.ts";

/**
 * Answers that may be given again, where an agent's version allows it: to the same tenant, for the same model, instructions,
 * messages and tools, until they expire.
 */

/** Grows when what is stored under a key, or how the key is made, changes. */
const FORMAT = 1;
const MAX_ANSWER_BYTES = 256 * 1024;
/** An answer that was cut off is none to be given again. */
const WHOLE: ReadonlySet<string> = new Set(["stop", "tool_calls", "needs_input"]);

/**
 * The key of a request's answer. The output limit is no part of it, since runs with a budget have one each: a whole answer is
 * the same under every limit that it fits in (`findAnswer` sees to that).
 */
export function cacheKeyOf({ tenantId }: TenantScope, request: ModelRequest): string {
  const { model, instructions, tools, purpose } = request;
  const messages = withoutIds(request.messages);
  const covered = { format: FORMAT, tenantId, model, instructions, messages, tools, purpose };
  return createHash("sha256").update(canonicalJson(covered)).digest("base64url");
}

/** Ids of tool calls are new in each run: in a key, a call is named by its place in the conversation. */
function withoutIds(messages: readonly ModelMessage[]): ModelMessage[] {
  const places = new Map<string, string>();
  const placeOf = (id: string): string => {
    const place = places.get(id) ?? `call ${places.size + 1}`;
    places.set(id, place);
    return place;
  };
  return messages.map((message) => {
    if (message.role === "user") return message;
    if (message.role === "tool") return { ...message, toolCallId: placeOf(message.toolCallId) };
    return { ...message, toolCalls: message.toolCalls.map((call) => ({ ...call, id: placeOf(call.id) })) };
  });
}

/** As it is stored; `outputTokens` says under which limits it may be given. */
type StoredAnswer = Pick<ModelAnswer, "text" | "reason"> & {
  readonly toolCalls: readonly ModelToolCall[];
  readonly outputTokens: number;
};

export interface CachedAnswer {
  /** Gives the answer as a model would: piece by piece. @throws OPERATION_CANCELLED */
  replay(onText: (piece: string) => void, signal: AbortSignal): Promise<ModelAnswer>;
}

/** The answer under this key, if there is one that has not expired and fits into the tokens. */
export async function findAnswer(
  scope: TenantScope,
  key: string,
  maxOutputTokens: number,
): Promise<CachedAnswer | undefined> {
  const [row] = await withTenant(
    scope,
    (tx) => tx.sql<{ model: string; answer: string }>`
    SELECT model, answer FROM agent.cached_answer
    WHERE tenant_id = ${scope.tenantId} AND key = ${key} AND expires_at > clock_timestamp()`,
  );
  if (!row) return undefined;
  const stored = JSON.parse(row.answer) as StoredAnswer;
  if (stored.outputTokens > maxOutputTokens) return undefined;
  return { replay: (onText, signal) => replay(row.model, stored, onText, signal) };
}

/** Other work of the process gets its turn after this many pieces. */
const PIECES_BETWEEN_YIELDS = 8;

async function replay(
  model: string,
  { text, toolCalls, reason }: StoredAnswer,
  onText: (piece: string) => void,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  for (const [index, piece] of (text.match(/\s*\S+\s*/g) ?? []).entries()) {
    if (index % PIECES_BETWEEN_YIELDS === 0) await setImmediate();
    if (signal.aborted) throw platformErrors.OPERATION_CANCELLED();
    onText(piece);
  }
  const usage = { inputTokens: 0, outputTokens: 0, isEstimated: false };
  return { text, toolCalls, reason, usage, model, isCached: true };
}

/** Keeps a whole answer for this long. That it could not be kept is no failure of the turn. */
export async function keepAnswer(
  scope: TenantScope,
  key: string,
  { text, toolCalls, reason, usage, model }: ModelAnswer,
  seconds: number,
): Promise<void> {
  const stored: StoredAnswer = { text, toolCalls, reason, outputTokens: usage.outputTokens };
  // As text: a model's params may hold what jsonb cannot.
  const answer = JSON.stringify(stored);
  if (!WHOLE.has(reason) || Buffer.byteLength(answer) > MAX_ANSWER_BYTES) return;
  try {
    await withTenant(
      scope,
      (tx) => tx.sql`
      INSERT INTO agent.cached_answer (tenant_id, key, model, answer, expires_at)
      VALUES (${scope.tenantId}, ${key}, ${model}, ${answer}, clock_timestamp() + make_interval(secs => ${seconds}))
      ON CONFLICT (tenant_id, key) DO UPDATE SET answer = EXCLUDED.answer, expires_at = EXCLUDED.expires_at`,
    );
  } catch (error) {
    logger.warn({ "error.code": ensureAppError(error).code }, "an answer was not kept");
  }
}

const FORGOTTEN_AT_A_TIME = 1_000;

/** Forgets answers of all tenants that have expired, and returns how many; called by the schedules. */
export async function forgetExpiredAnswers(): Promise<number> {
  return systemTx("cached answers: forget expired ones", async (tx) => {
    const forgotten = await tx.sql<{ key: string }>`
      DELETE FROM agent.cached_answer WHERE ctid IN (
        SELECT ctid FROM agent.cached_answer WHERE expires_at <= clock_timestamp()
        LIMIT ${FORGOTTEN_AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING key`;
    return forgotten.length;
  });
}
