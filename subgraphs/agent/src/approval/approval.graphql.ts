import { streamEvents, decodeCursor, encodeCursor, type EventRecord } from "@sba/platform/events";
import {
  callerOf,
  connectionRef,
  defineListLoader,
  defineLoader,
  idCursor,
  moneyRef,
  toConnection,
  type GraphContext,
} from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { approvalStream, APPROVAL_CHANGES, type ApprovalSnapshot } from "../events.ts";
import { RunRef, runById } from "../run/run.ref.ts";
import { PrincipalStub } from "../stubs.graphql.ts";
import { decideApproval, findApprovals, findApprovalsOfRuns, findDecisions, listApprovals } from "./approval.ts";
import {
  APPROVAL_DECISIONS,
  APPROVAL_STATUSES,
  type ApprovalDecisionKind,
  type ApprovalStatus,
} from "./approval.state.ts";
import type { Approval, ApprovalDecision } from "@sba/platform/generated/prisma/client";

export const approvalById = defineLoader(findApprovals, (approval) => approval.id);
export const approvalsOfRun = defineListLoader(findApprovalsOfRuns, (approval) => approval.runId ?? "");
const decisionsOf = defineListLoader(findDecisions, (decision) => decision.approvalId);

/** An approval as a row, or as an event carried it. */
export interface ApprovalShape extends Omit<ApprovalSnapshot, "costEstimate"> {
  readonly costEstimate: { readonly amountMicros: bigint; readonly currency: string };
  /** Of the decision that the event is about. */
  readonly decidedBy?: string | null;
  readonly reason?: string | null;
}

export function approvalOfRow(row: Approval): ApprovalShape {
  return {
    ...row,
    costEstimate: { amountMicros: row.costEstimateMicros, currency: row.currency },
    expiresAt: row.expiresAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
  };
}

export function approvalOfEvent(payload: {
  approval: ApprovalSnapshot;
  decidedBy?: string | null;
  reason?: string | null;
}): ApprovalShape {
  const { approval, decidedBy, reason } = payload;
  const costEstimate = { ...approval.costEstimate, amountMicros: BigInt(approval.costEstimate.amountMicros) };
  return { ...approval, costEstimate, decidedBy: decidedBy ?? null, reason: reason ?? null };
}

export const ApprovalStatusRef = builder.enumType("ApprovalStatus", { values: APPROVAL_STATUSES });
const ApprovalDecisionKindRef = builder.enumType("ApprovalDecision", { values: APPROVAL_DECISIONS });

const DecisionRef = builder.objectRef<ApprovalDecision>("ApprovalDecisionRecord").implement({
  description: "What one person decided.",
  fields: (t) => ({
    decision: t.field({ type: ApprovalDecisionKindRef, resolve: ({ decision }) => decision as ApprovalDecisionKind }),
    decidedBy: t.field({ type: PrincipalStub, resolve: ({ decidedBy }) => ({ id: encodeId("Principal", decidedBy) }) }),
    decidedAt: t.field({ type: "DateTime", resolve: ({ decidedAt }) => decidedAt }),
    reason: t.exposeString("reason", { nullable: true }),
  }),
});

const RoleKeyRef = builder.objectRef<{ readonly key: string }>("ApproverRole").implement({
  description: "A role whose members may decide.",
  fields: (t) => ({ key: t.exposeString("key") }),
});

interface Approver {
  readonly role: { readonly key: string } | null;
  readonly userId: string | null;
}

const ApproverRef = builder.objectRef<Approver>("Approver").implement({
  description: "Who may decide: the members of a role, or one user.",
  fields: (t) => ({
    role: t.field({ type: RoleKeyRef, nullable: true, resolve: ({ role }) => role }),
    user: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: ({ userId }) => (userId === null ? null : { id: encodeId("Principal", userId) }),
    }),
  }),
});

interface Policy {
  readonly quorum: number;
  readonly approvers: readonly Approver[];
  readonly allowRequester: boolean;
}

/** One decision by anybody who holds approval:decide, the requester included. */
const PLAIN_POLICY: Policy = {
  quorum: 1,
  approvers: ["owner", "admin", "operator"].map((key) => ({ role: { key }, userId: null })),
  allowRequester: true,
};

const PolicyRef = builder.objectRef<Policy>("EffectiveApprovalPolicy").implement({
  description: "What it takes to decide an approval.",
  fields: (t) => ({
    quorum: t.exposeInt("quorum", { description: "How many people must approve." }),
    approvers: t.field({ type: [ApproverRef], resolve: ({ approvers }) => [...approvers] }),
    allowRequester: t.exposeBoolean("allowRequester", { description: "Whether who started the run may decide." }),
  }),
});

export const ApprovalRef = builder.objectRef<ApprovalShape>("Approval");
ApprovalRef.implement({
  description: "What a person is asked to allow. The fingerprint is of exactly what would run.",
  fields: (t) => ({
    id: t.id({ resolve: (approval) => encodeId("Approval", approval.id) }),
    status: t.field({ type: ApprovalStatusRef, resolve: (approval) => approval.status as ApprovalStatus }),
    action: t.exposeString("action"),
    params: t.field({ type: "JSON", resolve: (approval) => approval.params }),
    editableParams: t.exposeStringList("editableParams"),
    fingerprint: t.exposeString("fingerprint"),
    version: t.exposeInt("version"),
    scope: t.exposeStringList("scope"),
    requires: t.exposeStringList("requires"),
    expiresAt: t.field({ type: "DateTime", nullable: true, resolve: (approval) => approval.expiresAt }),
    createdAt: t.field({ type: "DateTime", resolve: (approval) => approval.createdAt }),
    costEstimate: t.field({ type: moneyRef(builder), resolve: (approval) => approval.costEstimate }),
    policy: t.field({ type: PolicyRef, resolve: () => PLAIN_POLICY }),
    decisions: t.field({
      type: [DecisionRef],
      resolve: (approval, _args, context) => decisionsOf(context).load(approval.id),
    }),
    decidedBy: t.field({
      type: PrincipalStub,
      nullable: true,
      description: "Who decided, once somebody has.",
      resolve: async (approval, _args, context) => {
        const decidedBy = (await lastDecision(approval, context))?.decidedBy;
        return decidedBy ? { id: encodeId("Principal", decidedBy) } : null;
      },
    }),
    reason: t.string({
      nullable: true,
      description: "What whoever decided said.",
      resolve: async (approval, _args, context) => (await lastDecision(approval, context))?.reason,
    }),
    run: t.field({
      type: RunRef,
      nullable: true,
      description: "The run that waits; null when a workflow does.",
      resolve: (approval, _args, context) => (approval.runId === null ? null : runById(context).load(approval.runId)),
    }),
  }),
});
builder.asEntity(ApprovalRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: async ({ id }, context) => {
    const row = await approvalById(context).load(decodeId("Approval", id));
    return row && approvalOfRow(row);
  },
});

/** Of an event, the decision as it carried it; of a row, the last. */
async function lastDecision(approval: ApprovalShape, context: GraphContext) {
  if (approval.decidedBy !== undefined) return { decidedBy: approval.decidedBy, reason: approval.reason ?? null };
  return (await decisionsOf(context).load(approval.id)).at(-1);
}

const ApprovalConnection = connectionRef(builder, "Approval", ApprovalRef);

const ApprovalFilter = builder.inputType("ApprovalFilter", {
  fields: (t) => ({
    status: t.field({ type: [ApprovalStatusRef], validate: { maxLength: APPROVAL_STATUSES.length } }),
    runId: t.id({ validate: { maxLength: 64 } }),
  }),
});

builder.queryFields((t) => ({
  approvals: t.field({
    type: ApprovalConnection,
    description: "The inbox: the tenant's approvals, newest first.",
    authScopes: { permission: "approval:read" },
    args: {
      filter: t.arg({ type: ApprovalFilter }),
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, { filter, ...page }, context) => {
      const runId = filter?.runId ?? undefined;
      const { items, hasNextPage } = await listApprovals(callerOf(context), page, {
        status: filter?.status ?? undefined,
        runId: runId === undefined ? undefined : decodeId("Run", runId),
      });
      return toConnection({ items: items.map(approvalOfRow), hasNextPage }, { after: page.after, cursorOf: idCursor });
    },
  }),
  approval: t.field({
    type: ApprovalRef,
    description: "One approval.",
    authScopes: { permission: "approval:read" },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: (_root, { id }, context) => getApproval(context, decodeId("Approval", id)),
  }),
}));

async function getApproval(context: GraphContext, id: string): Promise<ApprovalShape> {
  const row = await approvalById(context).load(id);
  if (!row) throw errors.AGENT_APPROVAL_NOT_FOUND();
  return approvalOfRow(row);
}

const DecideApprovalInput = builder.inputType("DecideApprovalInput", {
  fields: (t) => ({
    approvalId: t.id({ required: true, validate: { maxLength: 64 } }),
    decision: t.field({ type: ApprovalDecisionKindRef, required: true }),
    fingerprint: t.string({ required: true, validate: { minLength: 1, maxLength: 128 } }),
    expectedVersion: t.int({ required: true, validate: { min: 1 } }),
    reason: t.string({ validate: { maxLength: 2_000 } }),
    editedParams: t.field({
      type: "JSON",
      validate: { refine: [isJsonObject, { message: "must be an object of params" }] },
    }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

function isJsonObject(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "object" && !Array.isArray(value));
}

builder.mutationField("decideApproval", (t) =>
  t.field({
    type: ApprovalRef,
    description: "Approves or denies, once. Who and when come from the token and the server's clock.",
    authScopes: { permission: "approval:decide" },
    args: { input: t.arg({ type: DecideApprovalInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const id = await decideApproval(callerOf(context), {
        approvalId: decodeId("Approval", input.approvalId),
        decision: input.decision,
        fingerprint: input.fingerprint,
        expectedVersion: input.expectedVersion,
        reason: input.reason ?? undefined,
        editedParams: (input.editedParams as Record<string, unknown> | null | undefined) ?? undefined,
        idempotencyKey: input.idempotencyKey ?? undefined,
      });
      return getApproval(context, id);
    },
  }),
);

type ChangePayload = {
  change: (typeof APPROVAL_CHANGES)[number];
  approval: ApprovalSnapshot;
  decidedBy: string | null;
  reason: string | null;
};
type ApprovalEvent = EventRecord<ChangePayload>;

const ApprovalChangeRef = builder.enumType("ApprovalChange", { values: APPROVAL_CHANGES });

const ApprovalEventRef = builder.objectRef<ApprovalEvent>("ApprovalEvent").implement({
  description: "A change of the inbox.",
  fields: (t) => ({
    cursor: t.field({ type: "Cursor", resolve: (event) => encodeCursor(event.stream, event.seq) }),
    seq: t.exposeInt("seq"),
    at: t.field({ type: "DateTime", resolve: (event) => event.at }),
    change: t.field({ type: ApprovalChangeRef, resolve: (event) => event.payload.change }),
    approval: t.field({ type: ApprovalRef, resolve: (event) => approvalOfEvent(event.payload) }),
  }),
});

builder.subscriptionField("approvalEvents", (t) =>
  t.field({
    type: ApprovalEventRef,
    description: "The inbox, live: every change after the cursor, or from the beginning, and then each as it happens.",
    authScopes: { permission: "approval:read" },
    args: { after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }) },
    subscribe: (_root, { after }, context) => {
      const caller = callerOf(context);
      const stream = approvalStream(caller.tenantId);
      return streamEvents(caller, stream, { after: decodeCursor(stream, after), signal: context.signal });
    },
    resolve: (event) => event as ApprovalEvent,
  }),
);
