import { CONSUMER_ARGUMENT, CONSUMER_NAME } from "@sba/platform/consumers";
import { encodeCursor, type EventRecord } from "@sba/platform/events";
import { GAP } from "@sba/platform/follow";
import {
  callerOf,
  connectionRef,
  defineLoader,
  toConnection,
  usageLineRef,
  type GraphContext,
} from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import type { z } from "zod";
import { ApprovalRef, approvalOfEvent } from "../approval/approval.graphql.ts";
import { ArtifactRef } from "../artifact/artifact.graphql.ts";
import { findArtifacts } from "../artifact/artifact.ts";
import { builder } from "../builder.ts";
import * as events from "../events.ts";
import { StepRef, ToolCallRef } from "../step/step.graphql.ts";
import { RunErrorRef, RunStatusRef } from "./run.graphql.ts";
import { RunInputModeRef } from "./send-input.graphql.ts";
import { PrincipalStub } from "../stubs.graphql.ts";
import { readRunEvents, streamRunEvents } from "./run-events.ts";
import { RunRef, runById } from "./run.ref.ts";
import type { RunStatus } from "./run.state.ts";
import type { Run } from "./read.ts";

/** How the events of a run are shown: one interface, one object type for each event of the journal. */

const TYPE_NAMES: Readonly<Record<string, string>> = {
  [events.runStatusChanged.type]: "RunStatusChanged",
  [events.stepStarted.type]: "StepStarted",
  [events.stepFinished.type]: "StepFinished",
  [events.stepRestarted.type]: "StepRestarted",
  [events.tokenDelta.type]: "TokenDelta",
  [events.toolRequested.type]: "ToolRequested",
  [events.toolResulted.type]: "ToolResulted",
  [events.toolOutcomeUnknown.type]: "ToolOutcomeUnknown",
  [events.approvalRequested.type]: "ApprovalRequested",
  [events.approvalDecided.type]: "ApprovalDecided",
  [events.artifactCreated.type]: "ArtifactCreated",
  [events.usageRecorded.type]: "UsageRecorded",
  [events.inputReceived.type]: "RunInputReceived",
  [events.inputTold.type]: "RunInputTold",
  [events.runFinished.type]: "RunFinished",
  [events.runFailed.type]: "RunFailed",
  [GAP]: "StreamGap",
};

const LEVELS = ["INFO", "WARN", "ERROR"] as const;
const LEVEL_OF: Readonly<Record<string, (typeof LEVELS)[number]>> = {
  [events.stepRestarted.type]: "WARN",
  [events.toolOutcomeUnknown.type]: "WARN",
  [GAP]: "WARN",
  [events.runFailed.type]: "ERROR",
};

const EventLevel = builder.enumType("EventLevel", { values: LEVELS });

function runIdOf(event: EventRecord): string {
  return event.stream.slice("run:".length);
}

const RunEventRef = builder.interfaceRef<EventRecord>("RunEvent").implement({
  description: "Something that happened in a run. `seq` is contiguous; `cursor` goes on after it.",
  resolveType: (event) => TYPE_NAMES[event.type],
  fields: (t) => ({
    id: t.id({ resolve: (event) => `${encodeId("Run", runIdOf(event))}:${event.seq}` }),
    cursor: t.field({ type: "Cursor", resolve: (event) => encodeCursor(event.stream, event.seq) }),
    seq: t.exposeInt("seq"),
    at: t.field({ type: "DateTime", resolve: (event) => event.at }),
    runId: t.id({ resolve: (event) => encodeId("Run", runIdOf(event)) }),
    tenantId: t.id({ resolve: (event) => encodeId("Tenant", event.tenantId) }),
    traceId: t.exposeString("traceId", { nullable: true }),
    level: t.field({ type: EventLevel, resolve: (event) => LEVEL_OF[event.type] ?? "INFO" }),
  }),
});

/** The payload of a declared event; it was parsed when it was appended. */
type PayloadOf<E extends { payload: z.ZodType }> = z.infer<E["payload"]>;
type Shown<E extends { payload: z.ZodType }> = EventRecord & { readonly payload: PayloadOf<E> };

const implementsRunEvent = { interfaces: [RunEventRef] };

builder.objectRef<Shown<typeof events.runStatusChanged>>("RunStatusChanged").implement({
  ...implementsRunEvent,
  fields: (t) => ({
    from: t.field({ type: RunStatusRef, nullable: true, resolve: ({ payload }) => payload.from as RunStatus | null }),
    to: t.field({ type: RunStatusRef, resolve: ({ payload }) => payload.to as RunStatus }),
  }),
});

for (const name of ["StepStarted", "StepFinished"]) {
  builder.objectRef<Shown<typeof events.stepStarted>>(name).implement({
    ...implementsRunEvent,
    fields: (t) => ({ step: t.field({ type: StepRef, resolve: ({ payload }) => payload.step }) }),
  });
}

builder.objectRef<Shown<typeof events.stepRestarted>>("StepRestarted").implement({
  ...implementsRunEvent,
  description: "An attempt of the step failed midway: drop the text of its earlier TokenDelta events.",
  fields: (t) => ({
    step: t.field({ type: StepRef, resolve: ({ payload }) => payload.step }),
    attempt: t.int({ resolve: ({ payload }) => payload.attempt }),
    cause: t.string({ resolve: ({ payload }) => payload.cause }),
  }),
});

builder.objectRef<Shown<typeof events.tokenDelta>>("TokenDelta").implement({
  ...implementsRunEvent,
  fields: (t) => ({
    text: t.string({ resolve: ({ payload }) => payload.text }),
    index: t.int({ description: "Counts the pieces of the run from 0.", resolve: ({ payload }) => payload.index }),
    stepNumber: t.int({ resolve: ({ payload }) => payload.stepNumber }),
  }),
});

for (const name of ["ToolRequested", "ToolResulted", "ToolOutcomeUnknown"]) {
  builder.objectRef<Shown<typeof events.toolRequested>>(name).implement({
    ...implementsRunEvent,
    fields: (t) => ({ toolCall: t.field({ type: ToolCallRef, resolve: ({ payload }) => payload.toolCall }) }),
  });
}

for (const name of ["ApprovalRequested", "ApprovalDecided"]) {
  builder.objectRef<Shown<typeof events.approvalRequested>>(name).implement({
    ...implementsRunEvent,
    fields: (t) => ({ approval: t.field({ type: ApprovalRef, resolve: ({ payload }) => approvalOfEvent(payload) }) }),
  });
}

const artifactById = defineLoader(findArtifacts, (artifact) => artifact.id);

builder.objectRef<Shown<typeof events.artifactCreated>>("ArtifactCreated").implement({
  ...implementsRunEvent,
  fields: (t) => ({
    artifact: t.field({
      type: ArtifactRef,
      nullable: true,
      resolve: ({ payload }, _args, context) => artifactById(context).load(payload.artifactId),
    }),
  }),
});

builder.objectRef<Shown<typeof events.usageRecorded>>("UsageRecorded").implement({
  ...implementsRunEvent,
  fields: (t) => ({
    usage: t.field({
      type: [usageLineRef(builder)],
      resolve: ({ payload }) =>
        payload.usage.map(({ meter, quantity, cost }) => ({
          meter,
          quantity: BigInt(quantity),
          cost: { amountMicros: BigInt(cost.amountMicros), currency: cost.currency },
        })),
    }),
  }),
});

builder.objectRef<Shown<typeof events.inputReceived>>("RunInputReceived").implement({
  ...implementsRunEvent,
  description: "A person said something to the run (sendRunInput).",
  fields: (t) => ({
    ordinal: t.int({
      nullable: true,
      description: "RunInputTold names it so; null when another run answers.",
      resolve: ({ payload }) => payload.ordinal,
    }),
    mode: t.field({ type: RunInputModeRef, resolve: ({ payload }) => payload.mode }),
    text: t.string({ resolve: ({ payload }) => payload.text }),
    sentBy: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: ({ payload }) => ({ id: encodeId("Principal", payload.sentBy) }),
    }),
    answeringRunId: t.id({ resolve: ({ payload }) => encodeId("Run", payload.answeringRunId) }),
  }),
});

builder.objectRef<Shown<typeof events.inputTold>>("RunInputTold").implement({
  ...implementsRunEvent,
  description: "The model turn of this step was begun with what the run had been sent.",
  fields: (t) => ({
    ordinals: t.intList({ resolve: ({ payload }) => payload.ordinals }),
    stepNumber: t.int({ resolve: ({ payload }) => payload.stepNumber }),
  }),
});

/** The run with its own fields as of the event's seq. */
async function runAt(event: Shown<typeof events.runFinished>, context: GraphContext): Promise<Run | undefined> {
  const run = await runById(context).load(event.payload.runId);
  const { status, output, endedAt } = event.payload;
  return run && { ...run, status, output, endedAt: new Date(endedAt), lastSeq: event.seq };
}

builder.objectRef<Shown<typeof events.runFinished>>("RunFinished").implement({
  ...implementsRunEvent,
  description: "The run ended COMPLETED or CANCELLED. Nothing follows.",
  fields: (t) => ({
    run: t.field({ type: RunRef, nullable: true, resolve: (event, _args, context) => runAt(event, context) }),
  }),
});

builder.objectRef<Shown<typeof events.runFailed>>("RunFailed").implement({
  ...implementsRunEvent,
  description: "The run ended FAILED. Nothing follows.",
  fields: (t) => ({
    run: t.field({ type: RunRef, nullable: true, resolve: (event, _args, context) => runAt(event, context) }),
    error: t.field({ type: RunErrorRef, nullable: true, resolve: ({ payload }) => payload.error }),
  }),
});

builder.objectRef<EventRecord>("StreamGap").implement({
  ...implementsRunEvent,
  description: "The journal no longer has these events: read the run anew.",
  fields: (t) => ({
    fromSeq: t.int({ resolve: ({ gap }) => gap?.fromSeq ?? 0 }),
    toSeq: t.int({ resolve: ({ gap }) => gap?.toSeq ?? 0 }),
    cause: t.string({ resolve: () => "RETENTION" }),
  }),
});

builder.subscriptionField("runEvents", (t) =>
  t.field({
    type: RunEventRef,
    description:
      "Every event after the cursor, then each as it is committed; completes after the run's terminal event.",
    authScopes: { permission: "run:read" },
    args: {
      runId: t.arg.id({ required: true, validate: { maxLength: 64 } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      consumer: t.arg.string({ description: CONSUMER_ARGUMENT, validate: { regex: CONSUMER_NAME } }),
    },
    subscribe: (_root, { runId, ...start }, context) =>
      streamRunEvents(callerOf(context), { runId: decodeId("Run", runId), ...start, signal: context.signal }),
    resolve: (event) => event,
  }),
);

const RunEventConnection = connectionRef(builder, "RunEvent", RunEventRef as never);

builder.queryField("runEventLog", (t) =>
  t.field({
    type: RunEventConnection,
    description: "The same events for clients that poll, oldest first.",
    authScopes: { permission: "run:read" },
    args: {
      runId: t.arg.id({ required: true, validate: { maxLength: 64 } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      first: t.arg.int({ required: true, defaultValue: MAX_PAGE_SIZE, validate: { min: 1, max: MAX_PAGE_SIZE } }),
    },
    resolve: async (_root, { runId, first, after }, context) => {
      const page = await readRunEvents(callerOf(context), decodeId("Run", runId), { first, after });
      return toConnection(page, { after, cursorOf: (event) => encodeCursor(event.stream, event.seq) });
    },
  }),
);
