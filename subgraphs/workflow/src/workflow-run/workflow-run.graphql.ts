import { encodeCursor } from "@sba/platform/events";
import {
  callerOf,
  connectionRef,
  defineListLoader,
  defineLoader,
  idCursor,
  toConnection,
  type GraphContext,
} from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { workflowRunStream, type WorkflowStepSnapshot } from "../events.ts";
import { ApprovalStub, NodeRef, PrincipalStub, RunStub, TenantStub } from "../node/node.ref.ts";
import { WorkflowRef, WorkflowVersionRef, versionById, workflowById } from "../workflow/workflow.graphql.ts";
import { findStepsOfRuns, stepSnapshot } from "./step.ts";
import {
  WORKFLOW_RUN_STATUSES,
  WORKFLOW_STEP_STATUSES,
  type WorkflowRunStatus,
  type WorkflowStepStatus,
} from "./workflow-run.state.ts";
import {
  cancelWorkflowRun,
  findWorkflowRuns,
  listWorkflowRuns,
  startWorkflowRun,
  type WorkflowRun,
} from "./workflow-run.ts";

export const workflowRunById = defineLoader(findWorkflowRuns, (run) => run.id);
const stepsOfRun = defineListLoader(findStepsOfRuns, (step) => step.workflowRunId);

export const WorkflowRunStatusRef = builder.enumType("WorkflowRunStatus", { values: WORKFLOW_RUN_STATUSES });
const WorkflowStepStatusRef = builder.enumType("WorkflowStepStatus", { values: WORKFLOW_STEP_STATUSES });

export const WorkflowErrorRef = builder
  .objectRef<{ readonly code: string; readonly message: string }>("WorkflowError")
  .implement({
    description: "Why a step or a workflow run failed.",
    fields: (t) => ({ code: t.exposeString("code"), message: t.exposeString("message") }),
  });

export const WorkflowStepRef = builder.objectRef<WorkflowStepSnapshot>("WorkflowStep").implement({
  description: "A step of a workflow run.",
  fields: (t) => ({
    number: t.exposeInt("number"),
    key: t.exposeString("key"),
    kind: t.exposeString("kind"),
    status: t.field({ type: WorkflowStepStatusRef, resolve: ({ status }) => status as WorkflowStepStatus }),
    output: t.field({ type: "JSON", nullable: true, resolve: ({ output }) => output }),
    error: t.field({ type: WorkflowErrorRef, nullable: true, resolve: ({ error }) => error }),
    run: t.field({
      type: RunStub,
      nullable: true,
      description: "The run that it started.",
      authScopes: { permission: "run:read" },
      resolve: ({ runId }) => (runId === null ? null : { id: encodeId("Run", runId) }),
    }),
    approval: t.field({
      type: ApprovalStub,
      nullable: true,
      description: "What a person was asked for it.",
      authScopes: { permission: "approval:read" },
      resolve: ({ approvalId }) => (approvalId === null ? null : { id: encodeId("Approval", approvalId) }),
    }),
    startedAt: t.field({ type: "DateTime", resolve: ({ startedAt }) => startedAt }),
    endedAt: t.field({ type: "DateTime", nullable: true, resolve: ({ endedAt }) => endedAt }),
  }),
});

export const WorkflowRunRef = builder.objectRef<WorkflowRun>("WorkflowRun");
WorkflowRunRef.implement({
  description: "One passage through a workflow's steps, pinned to a version of it.",
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ resolve: (run) => encodeId("WorkflowRun", run.id) }),
    status: t.field({ type: WorkflowRunStatusRef, resolve: (run) => run.status as WorkflowRunStatus }),
    input: t.field({ type: "JSON", resolve: (run) => run.input }),
    output: t.field({
      type: "JSON",
      nullable: true,
      description: "That of its last step.",
      resolve: (run) => run.output,
    }),
    cursor: t.field({
      type: "Cursor",
      description:
        "The last event committed when it was read: workflowRunEvents(after: cursor) goes on without a hole.",
      resolve: (run) => encodeCursor(workflowRunStream(run.id), run.lastSeq),
    }),
    createdAt: t.field({ type: "DateTime", resolve: (run) => run.createdAt }),
    startedAt: t.field({ type: "DateTime", nullable: true, resolve: (run) => run.startedAt }),
    endedAt: t.field({ type: "DateTime", nullable: true, resolve: (run) => run.endedAt }),
    error: t.field({
      type: WorkflowErrorRef,
      nullable: true,
      resolve: ({ errorCode, errorMessage }) =>
        errorCode === null ? null : { code: errorCode, message: errorMessage ?? "" },
    }),
    workflow: t.field({
      type: WorkflowRef,
      nullable: true,
      resolve: (run, _args, context) => workflowById(context).load(run.workflowId),
    }),
    version: t.field({
      type: WorkflowVersionRef,
      nullable: true,
      description: "What the run was pinned to when it began.",
      resolve: (run, _args, context) => versionById(context).load(run.workflowVersionId),
    }),
    startedBy: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: (run) => ({ id: encodeId("Principal", run.startedBy) }),
    }),
    tenant: t.field({ type: TenantStub, nullable: true, resolve: (run) => ({ id: encodeId("Tenant", run.tenantId) }) }),
    steps: t.field({
      type: [WorkflowStepRef],
      description: "The steps that were begun, in order.",
      resolve: async (run, _args, context) => (await stepsOfRun(context).load(run.id)).map(stepSnapshot),
    }),
    runs: t.field({
      type: [RunStub],
      nullable: true,
      description: "The runs that its steps started.",
      authScopes: { permission: "run:read" },
      resolve: async (run, _args, context) => {
        const steps = await stepsOfRun(context).load(run.id);
        return steps.flatMap(({ runId }) => (runId === null ? [] : [{ id: encodeId("Run", runId) }]));
      },
    }),
  }),
});
builder.asEntity(WorkflowRunRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => getWorkflowRunOf(context, decodeId("WorkflowRun", id)),
});

const WorkflowRunConnection = connectionRef(builder, "WorkflowRun", WorkflowRunRef);

async function getWorkflowRunOf(context: GraphContext, id: string): Promise<WorkflowRun> {
  const run = await workflowRunById(context).clear(id).load(id);
  if (!run) throw errors.WORKFLOW_RUN_NOT_FOUND();
  return run;
}

const WorkflowRunFilter = builder.inputType("WorkflowRunFilter", {
  fields: (t) => ({
    status: t.field({ type: [WorkflowRunStatusRef], validate: { maxLength: WORKFLOW_RUN_STATUSES.length } }),
    workflowKey: t.string({ validate: { maxLength: 100 } }),
  }),
});

builder.queryFields((t) => ({
  workflowRun: t.field({
    type: WorkflowRunRef,
    description: "One workflow run.",
    authScopes: { permission: "workflow:read" },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: (_root, { id }, context) => getWorkflowRunOf(context, decodeId("WorkflowRun", id)),
  }),
  workflowRuns: t.field({
    type: WorkflowRunConnection,
    description: "The tenant's workflow runs, newest first.",
    authScopes: { permission: "workflow:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      filter: t.arg({ type: WorkflowRunFilter }),
    },
    resolve: async (_root, { filter, ...page }, context) => {
      const runs = await listWorkflowRuns(callerOf(context), page, {
        status: filter?.status ?? undefined,
        workflowKey: filter?.workflowKey ?? undefined,
      });
      return toConnection(runs, { after: page.after, cursorOf: idCursor });
    },
  }),
}));

const StartWorkflowRunInput = builder.inputType("StartWorkflowRunInput", {
  fields: (t) => ({
    workflowKey: t.string({ required: true, validate: { minLength: 1, maxLength: 100 } }),
    input: t.field({
      type: "JSON",
      description: "An object: what the workflow's steps refer to.",
      validate: { refine: [isJsonObject, { message: "must be an object" }] },
    }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

function isJsonObject(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "object" && !Array.isArray(value));
}

const CancelWorkflowRunInput = builder.inputType("CancelWorkflowRunInput", {
  fields: (t) => ({
    workflowRunId: t.id({ required: true, validate: { maxLength: 64 } }),
    reason: t.string({ validate: { maxLength: 2_000 } }),
  }),
});

builder.mutationFields((t) => ({
  startWorkflowRun: t.field({
    type: WorkflowRunRef,
    description: "Accepts a workflow run; it is worked on from then on whatever the client does.",
    authScopes: { permission: "workflow:start" },
    args: { input: t.arg({ type: StartWorkflowRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const id = await startWorkflowRun(callerOf(context), {
        workflowKey: input.workflowKey,
        input: (input.input as Record<string, unknown> | null | undefined) ?? {},
        idempotencyKey: input.idempotencyKey ?? undefined,
      });
      return getWorkflowRunOf(context, id);
    },
  }),
  cancelWorkflowRun: t.field({
    type: WorkflowRunRef,
    description: "Asks a workflow run to end; what its step started or waits for is ended too.",
    authScopes: { permission: "workflow:start" },
    args: { input: t.arg({ type: CancelWorkflowRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const workflowRunId = decodeId("WorkflowRun", input.workflowRunId);
      await cancelWorkflowRun(callerOf(context), { workflowRunId, reason: input.reason ?? undefined });
      return getWorkflowRunOf(context, workflowRunId);
    },
  }),
}));
