import { createHash } from "node:crypto";
import { priceUsage } from "@sba/billing/index";
import type { TenantScope } from "@sba/platform/caller";
import { AppError } from "@sba/platform/errors";
import type { EventRecord, NewEvent } from "@sba/platform/events";
import { canonicalJson } from "@sba/platform/idempotency";
import { changedTools } from "../agent/version.ts";
import { stepRestarted, stepStarted, tokenDelta } from "../events.ts";
import { afterInterruption } from "../run/advance.ts";
import { costOf, START_USAGE } from "../run/budget.ts";
import { takeUp, type Work } from "../run/plan-next.ts";
import { plannedEvents } from "../run/plan-run.ts";
import { acceptedEvents } from "../run/accept.ts";
import { isEnded } from "../run/run.state.ts";
import { openDraft, type Draft, type Session } from "../run/session.ts";
import { commitModelTurn } from "../step/model-turn.ts";
import type { Unfinished } from "../step/step.ts";
import { commitToolTurn } from "../step/tool-turn.ts";
import { openCallIds } from "../thread/message.ts";
import { intervene } from "./people.ts";
import { positionOf, timeOf, type Position } from "./position.ts";
import {
  chargedFor,
  interruptedBilling,
  recordedChild,
  recordedBilling,
  recordedInterruption,
  recordedOutcome,
  recordedTurn,
  textToCome,
} from "./recorded.ts";
import { readRecording, type Recording } from "./recording.ts";

/**
 * Does a run that has ended once more, in memory: the run's own loop decides again, step by step, from what models, tools and
 * people had answered, and every event has to come out as it stands in the journal. Nothing is called and nothing is written.
 */

export interface Verdict {
  /** Of the journal's events: everything that readers are shown of them but when they were committed, and under which trace. */
  readonly hash: string;
  /** Of the events as they came out; the same when there is no difference. */
  readonly replayedHash: string;
  readonly events: number;
  /** Where the replay first says something else than the journal; undefined when it says the same to the end. */
  readonly difference: Difference | undefined;
  /** Tools that are not defined as they were when the run's agent was published: a difference may be theirs. */
  readonly changedTools: readonly string[];
}

export interface Difference {
  readonly seq: number;
  /** Undefined where the journal has ended. */
  readonly recorded: unknown;
  /** Undefined where the run would do nothing, or nothing that it may. */
  readonly replayed: unknown;
}

/** @throws AGENT_RUN_NOT_FOUND, AGENT_REPLAY_RUN_NOT_ENDED, AGENT_REPLAY_JOURNAL_INCOMPLETE */
export async function replayRun(scope: TenantScope, runId: string): Promise<Verdict> {
  const recording = await readRecording(scope, runId);
  const recorded = recording.journal.map(told);
  const replayed = new Replay(recording).run().map(toldAnew);
  return {
    ...{ hash: hashOf(recorded), replayedHash: hashOf(replayed) },
    events: recorded.length,
    difference: firstDifference(recorded, replayed),
    changedTools: changedTools(recording.version),
  };
}

/** What a reader is told by an event, whenever it was committed. */
function told({ type, version, payload }: Pick<EventRecord, "type" | "version" | "payload">): object {
  return { type, version, payload };
}

function toldAnew({ event, payload }: NewEvent): object {
  const stored = JSON.parse(JSON.stringify(event.payload.parse(payload))) as unknown;
  return told({ type: event.type, version: event.version, payload: stored });
}

function hashOf(events: readonly object[]): string {
  const hash = createHash("sha256");
  for (const [index, event] of events.entries()) hash.update(`${canonicalJson({ seq: index + 1, ...event })}\n`);
  return hash.digest("hex");
}

function firstDifference(recorded: readonly object[], replayed: readonly object[]): Difference | undefined {
  for (let index = 0; index < Math.max(recorded.length, replayed.length); index++) {
    const [was, is] = [recorded[index], replayed[index]];
    if (!was || !is || canonicalJson(was) !== canonicalJson(is)) return { seq: index + 1, recorded: was, replayed: is };
  }
  return undefined;
}

/** With these an attempt of a step begins. */
const ATTEMPTS: ReadonlySet<string> = new Set([stepStarted.type, stepRestarted.type]);

class Replay {
  private readonly recording: Recording;
  private readonly derived: NewEvent[] = [];
  private readonly asked = new Set<string>();
  private session: Session;
  private work: Work | undefined;
  /** How many pieces of text there were, and the text of the attempt under way. */
  private pieces = 0;
  private shown = "";
  /** What the attempt under way is going to say; undefined while nobody has looked. */
  private whole: { readonly text: string | undefined } | undefined;

  constructor(recording: Recording) {
    this.recording = recording;
    this.session = beginning(recording);
  }

  /** The events of the run as they come out; stops where nothing would come, or the first that the journal does not have. */
  run(): readonly NewEvent[] {
    this.accept();
    for (let at = this.position(); at && !isEnded(this.session.run.status); at = this.position()) {
      const before = this.derived.length;
      try {
        this.hear(at);
        this.goOn(this.position()!);
      } catch (error) {
        // What the journal has is nothing that a run can do.
        if (error instanceof AppError) throw error;
        break;
      }
      if (this.derived.length === before || this.isAstray(before)) break;
    }
    return this.derived;
  }

  private position(): Position | undefined {
    return positionOf(this.recording, this.session, this.derived.length);
  }

  /** What comes after another event than the journal's tells nothing any more. */
  private isAstray(from: number): boolean {
    const { journal } = this.recording;
    return (
      firstDifference(journal.slice(from, this.derived.length).map(told), this.derived.slice(from).map(toldAnew)) !==
      undefined
    );
  }

  private accept(): void {
    const { run, usage } = this.recording;
    this.push(acceptedEvents(priceUsage(START_USAGE, run.priceListVersion)));
    if (run.plan === null || run.forkedFromSeq !== null) return;
    const charged = [...usage]
      .filter(([key]) => key.startsWith(`run:${run.id}:plan:`))
      .map(([, lines]) => priceUsage(chargedFor(lines, run), run.priceListVersion));
    this.push(plannedEvents(charged));
    const spentMicros = charged.reduce((sum, lines) => sum + costOf(lines), this.session.run.spentMicros);
    this.session = { ...this.session, run: { ...this.session.run, status: "PLANNING", spentMicros } };
  }

  /** Takes note of what an operator had said of a call by now, and of a run that it delegated and that had ended. */
  private hear({ next }: Position): void {
    if (this.work || next.type !== stepStarted.type) return;
    const { toolCallId } = (next.payload as { step: { toolCallId: string | null } }).step;
    const [call, resolved] = [this.session.calls.get(toolCallId ?? ""), this.recording.calls.get(toolCallId ?? "")];
    if (call && resolved && this.session.children.has(call.id)) {
      const children = new Map(this.session.children).set(call.id, recordedChild(resolved));
      this.session = { ...this.session, children };
    }
    if (call?.status !== "UNKNOWN" || !resolved) return;
    // One that ran again after all took its time.
    const { status, success, result, error } =
      resolved.durationMs === null ? resolved : { ...call, status: "REQUESTED" as const };
    this.session = {
      ...this.session,
      calls: new Map(this.session.calls).set(call.id, { ...call, status, success, result, error }),
    };
  }

  private goOn(at: Position): void {
    const done = intervene(at);
    if (done) {
      this.session = done.session;
      this.push(done.events);
    } else if (!this.work) this.takeUp();
    else if (this.work.kind === "model") this.goOnWithModel(at, this.work);
    else this.goOnWithTool(at, this.work);
  }

  private goOnWithModel(at: Position, work: Extract<Work, { kind: "model" }>): void {
    const { shown, pieces: index } = this;
    if (at.next.type === tokenDelta.type) {
      this.whole ??= { text: textToCome(at, work) };
      const { text } = at.next.payload as { text: string };
      const piece = this.whole.text?.slice(shown.length, shown.length + text.length) ?? text;
      this.push([tokenDelta({ stepNumber: work.step.number, index, text: piece })]);
      return;
    }
    const turn = recordedTurn(at, work);
    if (!turn) {
      this.interrupt(at, work);
      return;
    }
    const last = { index, text: turn.answer.text.slice(shown.length) };
    const billed = recordedBilling(at, work.step);
    this.finish((draft) => {
      commitModelTurn(draft, { ...work, billed }, { ...turn, last });
    });
  }

  private goOnWithTool(at: Position, work: Extract<Work, { kind: "tool" }>): void {
    const outcome = recordedOutcome(at, work);
    if (!outcome) {
      this.interrupt(at, work);
      return;
    }
    this.finish((draft) => {
      commitToolTurn(draft, work, outcome);
    });
  }

  private finish(commit: (draft: Draft) => void): void {
    this.decide(commit);
    this.work = undefined;
  }

  /** An attempt came to nothing: what its worker decided, if it lived to, and then what the next one made of it. */
  private interrupt(at: Position, work: Work): void {
    this.work = undefined;
    const before = this.derived.length;
    const cause = recordedInterruption(at, work.step.number);
    const current = work.kind === "model" ? { ...work, billed: interruptedBilling(at, work.step) } : work;
    this.reopen(work);
    if (cause) {
      this.decide((draft) => {
        afterInterruption(draft, { current, ...cause });
      });
    }
    if (this.derived.length === before) this.takeUp();
  }

  private takeUp(): void {
    this.work = this.decide(takeUp);
  }

  /** Lets the loop decide as it did, with what it read of policies then, and at that time. */
  private decide<T>(compose: (draft: Draft) => T): T {
    const { history, run } = this.session;
    const open = new Set([...openCallIds(history, run.id), ...this.callsOfNextTurn()]);
    const toAsk = this.recording.approvals.filter(
      ({ id, toolCallId }) => !this.asked.has(id) && open.has(toolCallId ?? ""),
    );
    const policies = this.recording.policies.filter((policy) =>
      toAsk.some(({ policyId, policyVersion }) => policyId === policy.policyId && policyVersion === policy.version),
    );
    const newId = (): string => {
      const id = toAsk.shift()?.id ?? "";
      this.asked.add(id);
      return id;
    };
    const draft = openDraft({ ...this.session, policies }, { now: timeOf(this.recording, this.derived.length), newId });
    const result = compose(draft);
    this.session = draft;
    this.push(draft.journal);
    return result;
  }

  private callsOfNextTurn(): string[] {
    const at = this.position();
    const turn = at && this.work?.kind === "model" ? recordedTurn(at, this.work) : undefined;
    return (turn?.calls ?? []).map(({ id }) => id);
  }

  /** What whoever takes the run up finds of the step that was left open. */
  private reopen({ step }: Work): void {
    const unfinished: Unfinished = { step, text: this.shown === "" ? null : this.shown, pieces: this.pieces };
    this.session = { ...this.session, unfinished };
  }

  private push(events: readonly NewEvent[]): void {
    for (const { event, payload } of events) {
      if (ATTEMPTS.has(event.type)) {
        this.shown = "";
        this.whole = undefined;
      }
      if (event.type !== tokenDelta.type) continue;
      this.pieces += 1;
      this.shown += (payload as { text: string }).text;
    }
    this.derived.push(...events);
  }
}

/** The run as it was accepted. */
function beginning({ caller, run, version, told }: Recording): Session {
  const spentMicros = costOf(priceUsage(START_USAGE, run.priceListVersion));
  return {
    ...{ caller, version, history: told, calls: new Map(), approvals: new Map(), policies: [] },
    ...{ unfinished: undefined, slice: undefined, inbox: [], children: new Map() },
    run: {
      ...run,
      ...{ status: "CREATED", pausedFrom: null, output: null, errorCode: null, errorMessage: null, endedAt: null },
      ...{ stepNumber: 0, stepAttempt: 0, textPieces: 0, billedAttempts: 0, spentMicros, slot: null },
      ...{ waitsForThread: false, unreadInputs: 0, childCount: 0, childrenMicros: 0n },
    },
  };
}
