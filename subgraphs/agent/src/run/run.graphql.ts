import { encodeCursor } from "@sba/platform/events";
import type { Citation, Thread } from "@sba/platform/generated/prisma/client";
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
import { platformErrors } from "@sba/platform/errors";
import { MAX_PAGE_SIZE, decodePageCursor, encodePageCursor, toPage } from "@sba/platform/pages";
import { AgentRef, AgentVersionRef, BusyThreadPolicyRef, agentById, versionById } from "../agent/agent.graphql.ts";
import type { BusyThreadPolicy } from "../agent/agent.ts";
import { ApprovalRef, approvalOfRow, approvalsOfRun } from "../approval/approval.graphql.ts";
import { ArtifactRef, artifactsOfRun } from "../artifact/artifact.graphql.ts";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { runStream } from "../events.ts";
import { StepConnection, stepsOfRun } from "../step/step.graphql.ts";
import { ChunkStub, DocumentStub, PrincipalStub, TenantStub } from "../stubs.graphql.ts";
import { findThreads } from "../thread/thread.ts";
import { cancelRun } from "./cancel.ts";
import { findCitationsOfRuns } from "./citation.ts";
import { RunRef, runById } from "./run.ref.ts";
import { RUN_STATUSES, type RunStatus } from "./run.state.ts";
import type { Run } from "./read.ts";
import { continueRun, listRuns, startAndReadRun, type RunOptions } from "./run.ts";

const citationsOfRun = defineListLoader(findCitationsOfRuns, (citation) => citation.runId);

export const RunStatusRef = builder.enumType("RunStatus", { values: RUN_STATUSES });

const ThreadRef = builder.objectRef<Pick<Thread, "id">>("Thread").implement({
  description: "A conversation: runs of one agent that know what was said before.",
  fields: (t) => ({ id: t.id({ resolve: (thread) => encodeId("Thread", thread.id) }) }),
});

const threadById = defineLoader(findThreads, (thread) => thread.id);
builder.asEntity(ThreadRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => threadById(context).load(decodeId("Thread", id)),
});

const CitationRef = builder.objectRef<Citation>("Citation").implement({
  description: "A passage that the output rests on.",
  fields: (t) => ({
    document: t.field({
      type: DocumentStub,
      nullable: true,
      authScopes: { permission: "knowledge:read" },
      resolve: (citation) => ({ id: encodeId("Document", citation.documentId) }),
    }),
    chunk: t.field({
      type: ChunkStub,
      nullable: true,
      authScopes: { permission: "knowledge:read" },
      resolve: (citation) => ({ id: encodeId("Chunk", citation.chunkId) }),
    }),
    quote: t.exposeString("quote", { description: "The words of the passage that the claim rests on." }),
  }),
});

const RunErrorRef = builder.objectRef<{ readonly code: string; readonly message: string }>("RunError");
RunErrorRef.implement({
  description: "Why a run failed.",
  fields: (t) => ({ code: t.exposeString("code"), message: t.exposeString("message") }),
});
export { RunErrorRef };

RunRef.implement({
  description: "One answer of an agent to a prompt: planned, looked up, approved, written and metered.",
  fields: (t) => ({
    id: t.id({ resolve: (run) => encodeId("Run", run.id) }),
    status: t.field({ type: RunStatusRef, resolve: (run) => run.status as RunStatus }),
    prompt: t.exposeString("prompt"),
    output: t.exposeString("output", {
      nullable: true,
      description: "What the agent answered, so far as it is final.",
    }),
    cursor: t.field({
      type: "Cursor",
      description: "The last event committed when the run was read: runEvents(after: cursor) goes on without a hole.",
      resolve: (run) => encodeCursor(runStream(run.id), run.lastSeq),
    }),
    createdAt: t.field({ type: "DateTime", resolve: (run) => run.createdAt }),
    startedAt: t.field({ type: "DateTime", nullable: true, resolve: (run) => run.startedAt }),
    endedAt: t.field({ type: "DateTime", nullable: true, resolve: (run) => run.endedAt }),
    error: t.field({
      type: RunErrorRef,
      nullable: true,
      resolve: ({ status, errorCode, errorMessage }) =>
        status === "FAILED" && errorCode !== null ? { code: errorCode, message: errorMessage ?? "" } : null,
    }),
    thread: t.field({ type: ThreadRef, resolve: (run) => ({ id: run.threadId }) }),
    agent: t.field({
      type: AgentRef,
      nullable: true,
      resolve: (run, _args, context) => agentById(context).load(run.agentId),
    }),
    agentVersion: t.field({
      type: AgentVersionRef,
      nullable: true,
      description: "What the run was pinned to when it began.",
      authScopes: { permission: "agent:read" },
      resolve: (run, _args, context) => versionById(context).load(run.agentVersionId),
    }),
    model: t.exposeString("model", { description: "The model that the run was pinned to when it began." }),
    startedBy: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: (run) => ({ id: encodeId("Principal", run.startedBy) }),
    }),
    tenant: t.field({ type: TenantStub, nullable: true, resolve: (run) => ({ id: encodeId("Tenant", run.tenantId) }) }),
    steps: t.field({
      type: StepConnection,
      args: {
        first: t.arg.int({ required: true, defaultValue: 50, validate: { min: 1, max: MAX_PAGE_SIZE } }),
        after: t.arg.string({ validate: { maxLength: 512 } }),
      },
      resolve: async (run, { first, after }, context) => {
        const afterNumber = decodeStepCursor(after);
        const steps = (await stepsOfRun(context).load(run.id)).filter((step) => step.number > afterNumber);
        return toConnection(toPage(steps, first), { after, cursorOf: (step) => encodePageCursor(String(step.number)) });
      },
    }),
    artifacts: t.field({ type: [ArtifactRef], resolve: (run, _args, context) => artifactsOfRun(context).load(run.id) }),
    citations: t.field({ type: [CitationRef], resolve: (run, _args, context) => citationsOfRun(context).load(run.id) }),
  }),
});
builder.objectField(RunRef, "approvals", (t) =>
  t.field({
    type: [ApprovalRef],
    authScopes: { permission: "approval:read" },
    resolve: async (run, _args, context) => (await approvalsOfRun(context).load(run.id)).map(approvalOfRow),
  }),
);
builder.asEntity(RunRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => runById(context).load(decodeId("Run", id)),
});

function decodeStepCursor(after: string | null | undefined): number {
  const number = Number(decodePageCursor(after) ?? 0);
  if (!Number.isInteger(number) || number < 0) throw platformErrors.CURSOR_INVALID();
  return number;
}

const RunConnection = connectionRef(builder, "Run", RunRef);

const RunFilter = builder.inputType("RunFilter", {
  fields: (t) => ({
    status: t.field({ type: [RunStatusRef], validate: { maxLength: RUN_STATUSES.length } }),
    agentKey: t.string({ validate: { maxLength: 100 } }),
    threadId: t.id({ validate: { maxLength: 64 } }),
    createdAfter: t.field({ type: "DateTime", validate: { type: "date" } }),
    createdBefore: t.field({ type: "DateTime", validate: { type: "date" } }),
    startedById: t.id({ description: "A principal: `me { id }` for the caller's own.", validate: { maxLength: 64 } }),
  }),
});

/** The run as it is now. @throws AGENT_RUN_NOT_FOUND */
export async function getRunOf(context: GraphContext, id: string): Promise<Run> {
  const run = await runById(context).clear(id).load(id);
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  return run;
}

builder.queryFields((t) => ({
  run: t.field({
    type: RunRef,
    description: "One run.",
    authScopes: { permission: "run:read" },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: (_root, { id }, context) => getRunOf(context, decodeId("Run", id)),
  }),
  runs: t.field({
    type: RunConnection,
    description: "The tenant's runs, newest first.",
    authScopes: { permission: "run:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
      filter: t.arg({ type: RunFilter }),
    },
    resolve: async (_root, { filter, ...page }, context) => {
      const runs = await listRuns(callerOf(context), page, {
        status: filter?.status ?? undefined,
        agentKey: filter?.agentKey ?? undefined,
        threadId: filter?.threadId ? decodeId("Thread", filter.threadId) : undefined,
        createdAfter: filter?.createdAfter ?? undefined,
        createdBefore: filter?.createdBefore ?? undefined,
        startedBy: filter?.startedById ? decodeId("Principal", filter.startedById) : undefined,
      });
      return toConnection(runs, { after: page.after, cursorOf: idCursor });
    },
  }),
}));

export const MAX_PROMPT_CHARACTERS = 100_000;
export const idempotencyKey = { minLength: 1, maxLength: 255 } as const;

export const RunOptionsInput = builder.inputType("RunOptionsInput", {
  fields: (t) => ({
    locale: t.string({
      validate: { regex: [/^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$/, { message: "must be a BCP 47 language tag" }] },
    }),
    topK: t.int({ validate: { min: 1, max: 20 } }),
    maxSteps: t.int({ validate: { min: 1, max: 200 } }),
    budgetMicros: t.field({
      type: "BigInt",
      validate: { refine: [(value) => value > 0n, { message: "must be positive" }] },
    }),
    timeoutSeconds: t.int({
      validate: { min: 1, max: 604_800 },
      description: "How long the run may take, waits included: after that it begins no step and ends FAILED.",
    }),
    onBusyThread: t.field({
      type: BusyThreadPolicyRef,
      description: "What becomes of this run when its thread is busy; by default what its agent says.",
    }),
  }),
});

const StartRunInput = builder.inputType("StartRunInput", {
  fields: (t) => ({
    agentKey: t.string({ required: true, validate: { minLength: 1, maxLength: 100 } }),
    prompt: t.string({ required: true, validate: { minLength: 1, maxLength: MAX_PROMPT_CHARACTERS } }),
    options: t.field({ type: RunOptionsInput }),
    threadId: t.id({ validate: { maxLength: 64 } }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

const ContinueRunInput = builder.inputType("ContinueRunInput", {
  fields: (t) => ({
    runId: t.id({ required: true, validate: { maxLength: 64 } }),
    input: t.string({ required: true, validate: { minLength: 1, maxLength: MAX_PROMPT_CHARACTERS } }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

const CancelRunInput = builder.inputType("CancelRunInput", {
  fields: (t) => ({
    runId: t.id({ required: true, validate: { maxLength: 64 } }),
    reason: t.string({ validate: { maxLength: 2_000 } }),
  }),
});

interface GivenOptions {
  readonly locale?: string | null | undefined;
  readonly topK?: number | null | undefined;
  readonly maxSteps?: number | null | undefined;
  readonly budgetMicros?: bigint | null | undefined;
  readonly timeoutSeconds?: number | null | undefined;
  readonly onBusyThread?: BusyThreadPolicy | null | undefined;
}

/** Without what was not given: options are stored, and two requests that mean the same must hash the same. */
export function runOptions({
  locale,
  topK,
  maxSteps,
  budgetMicros,
  timeoutSeconds,
  onBusyThread,
}: GivenOptions): RunOptions {
  return {
    ...(locale ? { locale } : {}),
    ...(topK ? { topK } : {}),
    ...(maxSteps ? { maxSteps } : {}),
    ...(budgetMicros ? { budgetMicros: String(budgetMicros) } : {}),
    ...(timeoutSeconds ? { timeoutSeconds } : {}),
    ...(onBusyThread ? { onBusyThread } : {}),
  };
}

builder.mutationFields((t) => ({
  startRun: t.field({
    type: RunRef,
    description: "Accepts a run; it is worked on from then on whatever the client does.",
    authScopes: { permission: "run:start" },
    args: { input: t.arg({ type: StartRunInput, required: true }) },
    resolve: (_root, { input }, context) =>
      startAndReadRun(callerOf(context), {
        agentKey: input.agentKey,
        prompt: input.prompt,
        options: runOptions(input.options ?? {}),
        ...(input.threadId ? { threadId: decodeId("Thread", input.threadId) } : {}),
        idempotencyKey: input.idempotencyKey ?? undefined,
      }),
  }),
  continueRun: t.field({
    type: RunRef,
    description: "Answers a run that asked for input.",
    authScopes: { permission: "run:start" },
    args: { input: t.arg({ type: ContinueRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const runId = decodeId("Run", input.runId);
      await continueRun(callerOf(context), {
        runId,
        input: input.input,
        idempotencyKey: input.idempotencyKey ?? undefined,
      });
      return getRunOf(context, runId);
    },
  }),
  cancelRun: t.field({
    type: RunRef,
    description: "Asks a run to end; it passes CANCELLING and keeps what it has done.",
    authScopes: { permission: "run:cancel" },
    args: { input: t.arg({ type: CancelRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const runId = decodeId("Run", input.runId);
      await cancelRun(callerOf(context), { runId, reason: input.reason ?? undefined });
      return getRunOf(context, runId);
    },
  }),
}));
