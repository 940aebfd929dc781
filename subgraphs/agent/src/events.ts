import { defineEvent, streamOf } from "@sba/platform/events";
import { z } from "zod";

/** What the agent domain announces. A payload is the snapshot that readers are shown for that seq. Times are RFC 3339. */

const time = z.string();
const uuid = z.uuid();
const micros = z.string();

const step = z.object({
  number: z.number().int(),
  type: z.string(),
  startedAt: time,
  endedAt: time.nullable(),
  toolCallId: uuid.nullable(),
});

const toolCall = z.object({
  id: uuid,
  name: z.string(),
  version: z.number().int(),
  params: z.unknown(),
  status: z.string(),
  success: z.boolean().nullable(),
  durationMs: z.number().nullable(),
});

const money = z.object({ amountMicros: micros, currency: z.string() });

const approval = z.object({
  id: uuid,
  runId: uuid.nullable(),
  status: z.string(),
  action: z.string(),
  params: z.unknown(),
  editableParams: z.array(z.string()),
  fingerprint: z.string(),
  version: z.number().int(),
  scope: z.array(z.string()),
  requires: z.array(z.string()),
  costEstimate: money,
  expiresAt: time.nullable(),
  createdAt: time,
  requestedBy: uuid,
  policy: z.object({
    version: z.number().int().nullable(),
    quorum: z.number().int(),
    approverRoles: z.array(z.string()),
    approverIds: z.array(uuid),
    allowRequester: z.boolean(),
  }),
  decisions: z.array(
    z.object({ decision: z.string(), decidedBy: uuid, decidedAt: time, reason: z.string().nullable() }),
  ),
  escalatedAt: time.nullable(),
  supersededBy: uuid.nullable(),
});

const decided = { decidedBy: uuid.nullable(), reason: z.string().nullable() };

export type StepSnapshot = z.infer<typeof step>;
export type ToolCallSnapshot = z.infer<typeof toolCall>;
export type ApprovalSnapshot = z.infer<typeof approval>;

export const runStatusChanged = defineEvent({
  type: "agent.run.statusChanged",
  version: 1,
  description: "A run moved from one status to another; `from` is null when it was created.",
  payload: z.object({ from: z.string().nullable(), to: z.string() }),
});

export const stepStarted = defineEvent({
  type: "agent.run.stepStarted",
  version: 1,
  description: "A step was begun.",
  payload: z.object({ step }),
});

export const stepFinished = defineEvent({
  type: "agent.run.stepFinished",
  version: 1,
  description: "A step was committed.",
  payload: z.object({ step }),
});

export const stepRestarted = defineEvent({
  type: "agent.run.stepRestarted",
  version: 1,
  description: "An attempt of a step failed midway: the text that it streamed is void.",
  payload: z.object({ step, attempt: z.number().int(), cause: z.string() }),
});

export const tokenDelta = defineEvent({
  type: "agent.run.tokenDelta",
  version: 1,
  description: "A piece of the model's text. `index` counts the pieces of the run from 0.",
  payload: z.object({ stepNumber: z.number().int(), index: z.number().int(), text: z.string() }),
});

export const toolRequested = defineEvent({
  type: "agent.run.toolRequested",
  version: 1,
  description: "The model asked for a tool call; the intent is recorded.",
  payload: z.object({ toolCall }),
});

export const toolResulted = defineEvent({
  type: "agent.run.toolResulted",
  version: 1,
  description: "A tool call has its outcome.",
  payload: z.object({ toolCall }),
});

export const toolOutcomeUnknown = defineEvent({
  type: "agent.run.toolOutcomeUnknown",
  version: 1,
  description:
    "A tool call that must not be repeated was cut off: the run waits until an operator says what became of it.",
  payload: z.object({ toolCall }),
});

export const approvalRequested = defineEvent({
  type: "agent.run.approvalRequested",
  version: 1,
  description: "A tool call waits for a person.",
  payload: z.object({ approval }),
});

export const approvalDecided = defineEvent({
  type: "agent.run.approvalDecided",
  version: 1,
  description:
    "An approval of this run was decided, or ended without: its status says which, `decidedBy` is null then.",
  payload: z.object({ approval, ...decided }),
});

export const artifactCreated = defineEvent({
  type: "agent.run.artifactCreated",
  version: 1,
  description: "A tool wrote an artifact.",
  payload: z.object({ artifactId: uuid }),
});

export const usageRecorded = defineEvent({
  type: "agent.run.usageRecorded",
  version: 1,
  description: "What a step used and what it cost.",
  payload: z.object({ usage: z.array(z.object({ meter: z.string(), quantity: micros, cost: money })) }),
});

export const inputReceived = defineEvent({
  type: "agent.run.inputReceived",
  version: 1,
  description:
    "A person said something to the run. What steers it has an `ordinal`, by which agent.run.inputTold names it; anything else is answered by another run.",
  payload: z.object({
    ordinal: z.number().int().nullable(),
    mode: z.enum(["STEER", "QUEUE", "INTERRUPT"]),
    text: z.string(),
    sentBy: uuid,
    answeringRunId: uuid,
  }),
});

export const inputTold = defineEvent({
  type: "agent.run.inputTold",
  version: 1,
  description: "The model turn of a step was begun with what the run had been sent, by ordinals.",
  payload: z.object({ ordinals: z.array(z.number().int()), stepNumber: z.number().int() }),
});

export const runFinished = defineEvent({
  type: "agent.run.finished",
  version: 1,
  description: "The run ended COMPLETED or CANCELLED. The last event of its stream.",
  payload: z.object({ runId: uuid, status: z.string(), output: z.string().nullable(), endedAt: time }),
  announced: true,
});

export const runFailed = defineEvent({
  type: "agent.run.failed",
  version: 1,
  description: "The run ended FAILED. The last event of its stream.",
  payload: z.object({
    runId: uuid,
    status: z.string(),
    output: z.string().nullable(),
    endedAt: time,
    error: z.object({ code: z.string(), message: z.string() }),
  }),
  announced: true,
});

export const APPROVAL_CHANGES = [
  "REQUESTED",
  "VOTED",
  "EDITED",
  "DECIDED",
  "ESCALATED",
  "EXPIRED",
  "SUPERSEDED",
  "CANCELLED",
] as const;
export type ApprovalChangeKind = (typeof APPROVAL_CHANGES)[number];

/** The inbox of a tenant: one stream for all its approvals. */
export const approvalChanged = defineEvent({
  type: "agent.approval.changed",
  version: 1,
  description:
    "An approval was requested, decided, or moved otherwise: approved by one of several (VOTED), with other params so that " +
    "earlier approvals are void (EDITED), given to more people (ESCALATED), or ended without a decision.",
  payload: z.object({ change: z.enum(APPROVAL_CHANGES), approval, subject: z.string().nullable(), ...decided }),
  announced: true,
});

/** The stream of one run. */
export function runStream(runId: string): string {
  return streamOf("run", runId);
}

/** The inbox stream of a tenant. */
export function approvalStream(tenantId: string): string {
  return streamOf("approvals", tenantId);
}
