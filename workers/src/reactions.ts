import { createBuiltInAgents } from "@sba/agent/index";
import { approvalChanged, runFailed, runFinished } from "@sba/agent/events";
import { tenantProvisioned } from "@sba/identity/events";
import { toolCallResolved } from "@sba/integrations/events";
import type { Caller } from "@sba/platform/caller";
import { eventAnnounced, readEvents, type EventRecord, type EventType } from "@sba/platform/events";
import { handle, type JobContext } from "@sba/platform/jobs";
import { createBuiltInWorkflows, resumeAfterApproval, resumeAfterRun, resumeAfterToolCall } from "@sba/workflow/index";

/**
 * Every upward arrow of the system, on one page: what a higher domain does because of an event of a lower one. A reaction
 * runs at least once, as the caller who caused the event, after its commit; it has to be harmless twice and late.
 */
export const reactions: readonly Reaction[] = [
  on(tenantProvisioned, createBuiltInAgents),
  on(tenantProvisioned, createBuiltInWorkflows),
  on(runFinished, (caller, { runId }) => resumeAfterRun(caller, runId)),
  on(runFailed, (caller, { runId }) => resumeAfterRun(caller, runId)),
  on(approvalChanged, (caller, { subject }) => resumeAfterApproval(caller, subject)),
  on(toolCallResolved, (caller, { toolCallId }) => resumeAfterToolCall(caller, toolCallId)),
];

export interface Reaction {
  readonly event: EventType;
  readonly react: (caller: Caller, payload: unknown, context: JobContext) => Promise<void>;
}

/** Declares an arrow. `react` gets the payload as the event declares it. */
export function on<Name extends string, Payload>(
  event: EventType<Name, Payload>,
  react: (caller: Caller, payload: Payload, context: JobContext) => Promise<void>,
): Reaction {
  return { event, react: (caller, payload, context) => react(caller, event.payload.parse(payload), context) };
}

/** The handler that brings an announced event to its reactions: all of them run, and the job fails when one did. */
export function reactionsHandler(arrows: readonly Reaction[]) {
  return handle(eventAnnounced, async (caller, { stream, seq }, context) => {
    const event = await readEvent(caller, stream, seq);
    const concerned = arrows.filter((arrow) => arrow.event.type === event.type);
    const outcomes = await Promise.allSettled(concerned.map(({ react }) => react(caller, event.payload, context)));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  });
}

async function readEvent(caller: Caller, stream: string, seq: number): Promise<EventRecord> {
  const [event] = await readEvents(caller, stream, { after: seq - 1, first: 1 });
  // The job is handed over after the commit that wrote the event, so it cannot be missing for long.
  if (event?.seq !== seq) throw new Error(`event ${seq} of the stream ${stream} is not in the journal`);
  return event;
}
