import { withinReservation, type RecordedLine } from "@sba/billing/index";
import { unknownOutcome, type ToolCall, type ToolOutcome } from "@sba/integrations/index";
import type { Message } from "@sba/platform/generated/prisma/client";
import { stepRestarted, toolOutcomeUnknown, toolRequested, usageRecorded, type ToolCallSnapshot } from "../events.ts";
import type { Interruption } from "../run/advance.ts";
import { turnUsage } from "../run/budget.ts";
import type { ChildRun } from "../run/child-end.ts";
import type { Work } from "../run/plan-next.ts";
import type { MadeSummary, PaidAttempt } from "../step/model-request.ts";
import { failedAttemptKey, type ModelTurn } from "../step/model-turn.ts";
import { ownMessages, type MessageToolCall } from "../thread/message.ts";
import { DELEGATE } from "../tool/agent-delegate.ts";
import type { Position } from "./position.ts";
import type { Recording } from "./recording.ts";

/** What the world answered while a run was under way, as it was recorded: what its models said, what its tools did, what failed. */

type Piece<Kind extends Work["kind"]> = Extract<Work, { kind: Kind }>;

/** What a model said in the turn that was committed next; undefined when no turn was, up to the next event. */
export function recordedTurn(at: Position, { step }: Piece<"model">): Omit<ModelTurn, "last"> | undefined {
  const { summary, answer } = nextSpoken(at);
  if (!answer || Math.min(answer.seq, summary?.seq ?? answer.seq) > at.seq) return undefined;
  const { run, usage } = at.recording;
  const key = `run:${run.id}:step:${step.number}`;
  const lines = usage.get(key) ?? [];
  const paid = paidFor(lines, at.recording.steps.get(step.number)?.model ?? run.model);
  const calls = callsOf(at.recording, answer);
  return {
    answer: {
      text: answer.text,
      toolCalls: calls,
      reason: answer.asksPerson ? "needs_input" : "stop",
      ...{ usage: paid.usage, model: paid.model },
      isCached: lines.some(({ meter }) => meter === "model.cachedAnswers"),
    },
    ...{ reservedMicros: paid.reservedMicros, calls },
    summary: summary && madeSummary(summary, usage.get(`${key}:summary`) ?? []),
  };
}

/** The text that the turn under way was going to say, if it was not cut off before it was committed. */
export function textToCome(at: Position, { step }: Piece<"model">): string | undefined {
  const { answer } = nextSpoken(at);
  const restart = at.find(stepRestarted, ({ step: { number } }) => number === step.number);
  return answer && (!restart || restart.seq > answer.seq) ? answer.text : undefined;
}

function nextSpoken({ recording, session }: Position): { summary?: Message | undefined; answer?: Message | undefined } {
  const said = ownMessages(session.history, recording.run.id).at(-1)?.ordinal ?? 0;
  const next = recording.messages.get(said + 1);
  if (next?.role === "assistant") return { answer: next };
  if (next?.role === "summary") return { summary: next, answer: recording.messages.get(said + 2) };
  return {};
}

function madeSummary({ text }: Message, lines: readonly RecordedLine[]): MadeSummary {
  return { text, paid: paidFor(lines, "") };
}

/** What the model asked for. Its message shows what ran: where a person edited the params, the journal has what it said. */
function callsOf({ journal, approvals }: Recording, { toolCalls }: Message): MessageToolCall[] {
  const isEdited = (id: string): boolean => approvals.some(({ toolCallId, round }) => toolCallId === id && round > 1);
  const asked = (call: MessageToolCall): unknown => {
    const requested = journal.find(
      ({ type, payload }) => type === toolRequested.type && callIn(payload).id === call.id,
    );
    return requested ? callIn(requested.payload).params : call.params;
  };
  return ((toolCalls ?? []) as unknown as MessageToolCall[]).map((call) =>
    isEdited(call.id) ? { ...call, params: asked(call) } : call,
  );
}

function callIn(payload: unknown): ToolCallSnapshot {
  return (payload as { toolCall: ToolCallSnapshot }).toolCall;
}

/** What became of a call whose step was committed next; undefined when none was, up to the next event. */
export function recordedOutcome(at: Position, { call }: Piece<"tool">): ToolOutcome | undefined {
  if (at.next.type === toolOutcomeUnknown.type) return unknownOutcome();
  // Work that was begun is charged at once, and answered by a step of its own.
  if (call.name === DELEGATE && at.next.type === usageRecorded.type) return { ok: true, result: null, durationMs: 0 };
  const answered = [...at.recording.messages.values()].find(({ toolCallId }) => toolCallId === call.id);
  const recorded = at.recording.calls.get(call.id);
  if (!recorded || answered === undefined || answered.seq > at.seq) return undefined;
  const { result, error, durationMs } = recorded;
  if (error === null) return { ok: true, result, durationMs: durationMs ?? 0 };
  return { ok: false, error, durationMs: durationMs ?? 0, notRun: durationMs === null };
}

/** The run that a call delegated, as far as the call's outcome tells how it ended. */
export function recordedChild({ id, status, result, error }: ToolCall): ChildRun {
  if (status === "SUCCEEDED") {
    const { output } = result as { output: string | null };
    return { id, status: "COMPLETED", output, errorCode: null, errorMessage: null };
  }
  const ended = error?.code === "AGENT_CHILD_RUN_CANCELLED" ? "CANCELLED" : "FAILED";
  return { id, status: ended, output: null, errorCode: error?.code ?? null, errorMessage: null };
}

/** What providers billed for this attempt of a step, which came to nothing. */
export function recordedBilling({ recording, session }: Position, step: Work["step"]): PaidAttempt[] {
  const run = { ...session.run, billedAttempts: session.run.billedAttempts + 1 };
  const billed: PaidAttempt[] = [];
  for (;;) {
    const lines = recording.usage.get(failedAttemptKey(run, step, billed.length));
    if (!lines) return billed;
    billed.push(paidFor(lines, recording.run.model));
  }
}

/** The same of one that nothing more came of: the next may have been billed, too, and what this one was billed for is told at once. */
export function interruptedBilling(at: Position, step: Work["step"]): PaidAttempt[] {
  return at.next.type === usageRecorded.type ? recordedBilling(at, step) : [];
}

/** What was metered, as a provider reported it and as it was reserved for: what is charged of it comes out the same. */
export function paidFor(lines: readonly RecordedLine[], model: string): PaidAttempt {
  const total = (unit: string): number =>
    lines.filter(({ meter }) => meter.endsWith(unit)).reduce((sum, { quantity }) => sum + Number(quantity), 0);
  const usage = { inputTokens: total(".inputTokens"), outputTokens: total(".outputTokens"), isEstimated: false };
  const reservedMicros = lines.reduce((sum, { amountMicros }) => sum + amountMicros, 0n);
  return { model: lines.find((line) => line.model)?.model ?? model, usage, reservedMicros };
}

/** The same as lines of a price list. */
export function chargedFor(lines: readonly RecordedLine[], { model, priceListVersion }: Recording["run"]) {
  const paid = paidFor(lines, model);
  const { inputTokens, outputTokens } = paid.usage;
  return withinReservation(turnUsage(paid.model, inputTokens, outputTokens), paid.reservedMicros, priceListVersion);
}

type Cause = Omit<Interruption, "current">;

const failure = (code: string, message = "", retryable = true): Cause => ({
  error: { code, message, retryable, retryAfterMs: undefined },
  ...{ draining: false, paused: false, leftAlone: false },
});

/** Why an attempt came to nothing; undefined when nobody was left to say so, because its worker died. */
export function recordedInterruption(at: Position, stepNumber: number): Cause | undefined {
  const restart = at.find(stepRestarted, ({ step: { number } }) => number === stepNumber)?.payload;
  if (restart?.cause === "WORKER_LOST") return undefined;
  if (restart) {
    const { cause, attempt } = restart;
    const paused = cause === "RUN_PAUSED";
    const leftAlone = !paused && attempt === at.session.run.stepAttempt;
    return { ...failure(cause), draining: cause === "WORKER_DRAINED", paused, leftAlone };
  }
  const { errorCode, errorMessage } = at.recording.run;
  const isGivenUp = errorCode === null || errorCode === "AGENT_RUN_ATTEMPTS_EXHAUSTED";
  return isGivenUp ? failure("") : failure(errorCode, errorMessage ?? "", false);
}
