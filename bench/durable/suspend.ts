import { decideApproval, startRun } from "@sba/agent/index";
import {
  approvalRequested,
  runStatusChanged,
  stepStarted,
  toolResulted,
  type ApprovalSnapshot,
} from "@sba/agent/events";
import { streamRunEvents } from "@sba/agent/run/run-events";
import { deserializeCaller, type Caller, type SerializedCaller } from "@sba/platform/caller";
import type { EventRecord } from "@sba/platform/events";
import { repeat } from "../load.ts";
import { APPROVAL_PROMPT } from "./model.ts";

/** In the process that accepts runs: brings runs to where a person has to agree, and agrees. */

export interface SuspendRuns {
  readonly caller: SerializedCaller;
  readonly agentKey: string;
  readonly count: number;
  readonly concurrency: number;
}

/** Starts runs and returns when all of them wait for a person: their UUIDs. */
export function suspendRuns({ caller, agentKey, count, concurrency }: SuspendRuns): Promise<string[]> {
  const by = deserializeCaller(caller);
  return repeat(count, concurrency, async () => {
    const runId = await startRun(by, { agentKey, prompt: APPROVAL_PROMPT });
    await readUntilSuspended(followRun(by, runId));
    return runId;
  });
}

export interface DecideRuns {
  readonly caller: SerializedCaller;
  /** Somebody else: who asked may not agree. */
  readonly approver: SerializedCaller;
  readonly runIds: readonly string[];
  readonly concurrency: number;
}

/** Milliseconds since `decideApproval` was called. */
export interface DecisionTimes {
  readonly answeredMs: number;
  /** The next step is begun and the run's reader has heard of it. */
  readonly nextStepMs: number;
  /** A worker has done it, and the run's reader has heard what came of it. */
  readonly outcomeMs: number;
}

/** Decides their approvals while their readers wait. */
export function decideRuns({ caller, approver, runIds, concurrency }: DecideRuns): Promise<DecisionTimes[]> {
  const [by, other] = [deserializeCaller(caller), deserializeCaller(approver)];
  return repeat(runIds.length, concurrency, (index) => decideOnce(by, other, runIds[index]!));
}

type Events = AsyncGenerator<EventRecord, void, undefined>;

function followRun(caller: Caller, runId: string): Events {
  return streamRunEvents(caller, { runId, after: null, signal: new AbortController().signal });
}

async function decideOnce(caller: Caller, approver: Caller, runId: string): Promise<DecisionTimes> {
  const events = followRun(caller, runId);
  const { id: approvalId, fingerprint, version } = await readUntilSuspended(events, true);
  let following = events.next();
  const began = performance.now();
  await decideApproval(approver, { approvalId, fingerprint, expectedVersion: version, decision: "APPROVED" });
  const answeredMs = performance.now() - began;
  let [nextStepMs, outcomeMs] = [Number.NaN, Number.NaN];
  for (let { value, done } = await following; done !== true; { value, done } = await following) {
    if (value?.type === stepStarted.type && Number.isNaN(nextStepMs)) nextStepMs = performance.now() - began;
    if (value?.type === toolResulted.type && Number.isNaN(outcomeMs)) outcomeMs = performance.now() - began;
    following = events.next();
  }
  return { answeredMs, nextStepMs, outcomeMs };
}

/** Reads up to where the run waits, and gives what it waits for. The reader stays when it is to go on. */
async function readUntilSuspended(events: Events, staysOpen = false): Promise<ApprovalSnapshot> {
  let approval: ApprovalSnapshot | undefined;
  for (let next = await events.next(); next.done !== true; next = await events.next()) {
    const { type, payload } = next.value;
    if (type === approvalRequested.type) approval = (payload as { approval: ApprovalSnapshot }).approval;
    const isSuspended = type === runStatusChanged.type && (payload as { to: string }).to === "AWAITING_APPROVAL";
    if (!isSuspended || !approval) continue;
    if (!staysOpen) await events.return();
    return approval;
  }
  throw new Error("the run ended before anybody was asked");
}
