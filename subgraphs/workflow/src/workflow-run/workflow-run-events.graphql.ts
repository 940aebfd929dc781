import { CONSUMER_ARGUMENT, CONSUMER_NAME } from "@sba/platform/consumers";
import { encodeCursor, type EventRecord } from "@sba/platform/events";
import { GAP } from "@sba/platform/follow";
import { callerOf, type GraphContext } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import type { z } from "zod";
import { builder } from "../builder.ts";
import * as events from "../events.ts";
import { streamWorkflowRunEvents } from "./workflow-run-events.ts";
import {
  WorkflowErrorRef,
  WorkflowRunRef,
  WorkflowRunStatusRef,
  WorkflowStepRef,
  workflowRunById,
} from "./workflow-run.graphql.ts";
import type { WorkflowRunStatus } from "./workflow-run.state.ts";
import type { WorkflowRun } from "./workflow-run.ts";

/** How the events of a workflow run are shown: one interface, one object type for each event of the journal. */

const TYPE_NAMES: Readonly<Record<string, string>> = {
  [events.workflowRunStatusChanged.type]: "WorkflowRunStatusChanged",
  [events.workflowStepStarted.type]: "WorkflowStepStarted",
  [events.workflowStepFinished.type]: "WorkflowStepFinished",
  [events.workflowRunFinished.type]: "WorkflowRunFinished",
  [events.workflowRunFailed.type]: "WorkflowRunFailed",
  [GAP]: "WorkflowStreamGap",
};

function workflowRunIdOf(event: EventRecord): string {
  return event.stream.slice("workflowRun:".length);
}

const WorkflowRunEventRef = builder.interfaceRef<EventRecord>("WorkflowRunEvent").implement({
  description: "Something that happened in a workflow run. `seq` is contiguous; `cursor` goes on after it.",
  resolveType: (event) => TYPE_NAMES[event.type],
  fields: (t) => ({
    cursor: t.field({ type: "Cursor", resolve: (event) => encodeCursor(event.stream, event.seq) }),
    seq: t.exposeInt("seq"),
    at: t.field({ type: "DateTime", resolve: (event) => event.at }),
    workflowRunId: t.id({ resolve: (event) => encodeId("WorkflowRun", workflowRunIdOf(event)) }),
    tenantId: t.id({ resolve: (event) => encodeId("Tenant", event.tenantId) }),
    traceId: t.exposeString("traceId", { nullable: true }),
  }),
});

/** The payload of a declared event; it was parsed when it was appended. */
type Shown<E extends { payload: z.ZodType }> = EventRecord<z.infer<E["payload"]>>;

const implementsEvent = { interfaces: [WorkflowRunEventRef] };

builder.objectRef<Shown<typeof events.workflowRunStatusChanged>>("WorkflowRunStatusChanged").implement({
  ...implementsEvent,
  fields: (t) => ({
    from: t.field({
      type: WorkflowRunStatusRef,
      nullable: true,
      resolve: ({ payload }) => payload.from as WorkflowRunStatus | null,
    }),
    to: t.field({ type: WorkflowRunStatusRef, resolve: ({ payload }) => payload.to as WorkflowRunStatus }),
  }),
});

for (const name of ["WorkflowStepStarted", "WorkflowStepFinished"]) {
  builder.objectRef<Shown<typeof events.workflowStepStarted>>(name).implement({
    ...implementsEvent,
    fields: (t) => ({ step: t.field({ type: WorkflowStepRef, resolve: ({ payload }) => payload.step }) }),
  });
}

/** The run as of its terminal event: what the event carries, and what never changes. */
async function runAt(
  event: Shown<typeof events.workflowRunFinished>,
  context: GraphContext,
): Promise<WorkflowRun | undefined> {
  const { workflowRunId, status, output, endedAt } = event.payload;
  const run = await workflowRunById(context).load(workflowRunId);
  return (
    run && { ...run, status, output: output as WorkflowRun["output"], endedAt: new Date(endedAt), lastSeq: event.seq }
  );
}

builder.objectRef<Shown<typeof events.workflowRunFinished>>("WorkflowRunFinished").implement({
  ...implementsEvent,
  description: "The workflow run ended COMPLETED or CANCELLED. Nothing follows.",
  fields: (t) => ({
    workflowRun: t.field({
      type: WorkflowRunRef,
      nullable: true,
      resolve: (event, _args, context) => runAt(event, context),
    }),
  }),
});

builder.objectRef<Shown<typeof events.workflowRunFailed>>("WorkflowRunFailed").implement({
  ...implementsEvent,
  description: "The workflow run ended FAILED. Nothing follows.",
  fields: (t) => ({
    workflowRun: t.field({
      type: WorkflowRunRef,
      nullable: true,
      resolve: (event, _args, context) => runAt(event, context),
    }),
    error: t.field({ type: WorkflowErrorRef, resolve: ({ payload }) => payload.error }),
  }),
});

builder.objectRef<EventRecord>("WorkflowStreamGap").implement({
  ...implementsEvent,
  description: "The journal no longer has these events: read the workflow run anew.",
  fields: (t) => ({
    fromSeq: t.int({ resolve: ({ gap }) => gap?.fromSeq ?? 0 }),
    toSeq: t.int({ resolve: ({ gap }) => gap?.toSeq ?? 0 }),
    cause: t.string({ resolve: () => "RETENTION" }),
  }),
});

builder.subscriptionField("workflowRunEvents", (t) =>
  t.field({
    type: WorkflowRunEventRef,
    description:
      "Every event after the cursor, then each as it is committed; completes after the workflow run's terminal event.",
    authScopes: { permission: "workflow:read" },
    args: {
      workflowRunId: t.arg.id({ required: true, validate: { maxLength: 64 } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      consumer: t.arg.string({ description: CONSUMER_ARGUMENT, validate: { regex: CONSUMER_NAME } }),
    },
    subscribe: (_root, { workflowRunId, ...start }, context) =>
      streamWorkflowRunEvents(callerOf(context), {
        workflowRunId: decodeId("WorkflowRun", workflowRunId),
        ...start,
        signal: context.signal,
      }),
    resolve: (event) => event,
  }),
);
