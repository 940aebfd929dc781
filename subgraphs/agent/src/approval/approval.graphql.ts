import { readMemberRoles } from "@sba/identity/index";
import { hasPermission, type Caller } from "@sba/platform/caller";
import { withTenantOnce } from "@sba/platform/db";
import { CONSUMER_ARGUMENT, CONSUMER_NAME, startAfter } from "@sba/platform/consumers";
import { encodeCursor, type EventRecord } from "@sba/platform/events";
import { streamEvents } from "@sba/platform/follow";
import {
  callerOf,
  connectionRef,
  type ConnectionShape,
  defineListLoader,
  defineLoader,
  eventGapRef,
  GAP_FIELD,
  type GraphContext,
  idCursor,
  moneyRef,
  toConnection,
} from "@sba/platform/graphql";
import type { Approval } from "@sba/platform/generated/prisma/client";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { approvalStream, APPROVAL_CHANGES, type ApprovalChangeKind, type ApprovalSnapshot } from "../events.ts";
import { RunRef, runById } from "../run/run.ref.ts";
import { PrincipalStub } from "../stubs.graphql.ts";
import { findApprovals, findApprovalsOfRuns, findDecisions, listApprovals, readInboxCursor } from "./approval.ts";
import {
  APPROVAL_DECISIONS,
  APPROVAL_STATUSES,
  isOpen,
  objectionTo,
  type ApprovalDecisionKind,
  type ApprovalStatus,
} from "./approval.state.ts";
import { decideApproval } from "./decide.ts";
import { decisionUrl, MAX_LINK_SECONDS } from "./link.ts";
import { EffectivePolicyRef } from "./policy.graphql.ts";

export const approvalById = defineLoader(findApprovals, (approval) => approval.id);
export const approvalsOfRun = defineListLoader(findApprovalsOfRuns, (approval) => approval.runId ?? "");
const decisionsOf = defineListLoader(findDecisions, (decision) => decision.approvalId);

/** An approval as a row, or as an event carried it. */
export interface ApprovalShape extends Omit<ApprovalSnapshot, "costEstimate" | "decisions"> {
  readonly costEstimate: { readonly amountMicros: bigint; readonly currency: string };
  /** As of the event; of a row they are looked up. */
  readonly decisions?: ApprovalSnapshot["decisions"];
}

export function approvalOfRow(row: Approval): ApprovalShape {
  const { quorum, approverRoles, approverIds, allowRequester } = row;
  return {
    ...row,
    policy: { version: row.policyVersion, quorum, approverRoles, approverIds, allowRequester },
    costEstimate: { amountMicros: row.costEstimateMicros, currency: row.currency },
    expiresAt: row.expiresAt?.toISOString() ?? null,
    escalatedAt: row.escalatedAt?.toISOString() ?? null,
    createdAt: row.createdAt.toISOString(),
  };
}

export function approvalOfEvent({ approval }: { approval: ApprovalSnapshot }): ApprovalShape {
  return {
    ...approval,
    costEstimate: { ...approval.costEstimate, amountMicros: BigInt(approval.costEstimate.amountMicros) },
  };
}

type Decision = ApprovalSnapshot["decisions"][number];

async function decisionsAbout({ id, decisions }: ApprovalShape, context: GraphContext): Promise<readonly Decision[]> {
  if (decisions) return decisions;
  return (await decisionsOf(context).load(id)).map((decision) => ({
    ...decision,
    decidedAt: decision.decidedAt.toISOString(),
  }));
}

export const ApprovalStatusRef = builder.enumType("ApprovalStatus", { values: APPROVAL_STATUSES });
const ApprovalDecisionKindRef = builder.enumType("ApprovalDecision", { values: APPROVAL_DECISIONS });

const DecisionRef = builder.objectRef<Decision>("ApprovalDecisionRecord").implement({
  description: "What one person decided.",
  fields: (t) => ({
    decision: t.field({ type: ApprovalDecisionKindRef, resolve: ({ decision }) => decision as ApprovalDecisionKind }),
    decidedBy: t.field({ type: PrincipalStub, resolve: ({ decidedBy }) => ({ id: encodeId("Principal", decidedBy) }) }),
    decidedAt: t.field({ type: "DateTime", resolve: ({ decidedAt }) => decidedAt }),
    reason: t.exposeString("reason", { nullable: true }),
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
    run: t.field({
      type: RunRef,
      nullable: true,
      description: "The run that waits; null when a workflow does.",
      authScopes: { permission: "run:read" },
      resolve: (approval, _args, context) => (approval.runId === null ? null : runById(context).load(approval.runId)),
    }),
  }),
});

builder.objectFields(ApprovalRef, (t) => ({
  policy: t.field({ type: EffectivePolicyRef, resolve: (approval) => approval.policy }),
  decisions: t.field({
    type: [DecisionRef],
    description: "Those that count: of earlier ones, about other params, the audit log tells.",
    resolve: async (approval, _args, context) => [...(await decisionsAbout(approval, context))],
  }),
  decidedBy: t.field({
    type: PrincipalStub,
    nullable: true,
    description: "Who decided it, with the last of the decisions that it took.",
    resolve: async (approval, _args, context) => {
      const decidedBy = (await lastDecision(approval, context))?.decidedBy;
      return decidedBy === undefined ? null : { id: encodeId("Principal", decidedBy) };
    },
  }),
  reason: t.string({
    nullable: true,
    description: 'What whoever decided it said; otherwise why it ended: "expired", "drifted" or "cancelled".',
    resolve: async (approval, _args, context) =>
      ENDED_BECAUSE[approval.status] ?? (await lastDecision(approval, context))?.reason,
  }),
  mayDecide: t.boolean({
    description: "Whether the caller may decide it now.",
    resolve: (approval, _args, context) => mayDecide(approval, context),
  }),
  decisionUrl: t.string({
    nullable: true,
    description:
      "A link to a page on which the caller, and nobody else, may decide it without signing in, until it ends by itself; " +
      "opening it decides nothing. Null when the caller may not decide.",
    authScopes: { permission: "approval:decide" },
    args: {
      expiresInSeconds: t.arg.int({
        required: true,
        defaultValue: 900,
        validate: { min: 1, max: MAX_LINK_SECONDS },
      }),
    },
    resolve: async (approval, { expiresInSeconds }, context) =>
      (await mayDecide(approval, context)) ? decisionUrl(callerOf(context), approval.id, expiresInSeconds) : null,
  }),
  escalatedAt: t.field({
    type: "DateTime",
    nullable: true,
    description: "When nobody had decided in time and more people were asked.",
    resolve: (approval) => approval.escalatedAt,
  }),
  supersededBy: t.field({
    type: ApprovalRef,
    nullable: true,
    description: "What asks again, since something else would have run than what this was about.",
    authScopes: { permission: "approval:read" },
    resolve: async ({ supersededBy }, _args, context) => {
      const row = supersededBy === null ? undefined : await approvalById(context).load(supersededBy);
      return row && approvalOfRow(row);
    },
  }),
}));

builder.asEntity(ApprovalRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: async ({ id }, context) => {
    const row = await approvalById(context).load(decodeId("Approval", id));
    return row && approvalOfRow(row);
  },
});

const ENDED_BECAUSE: Readonly<Record<string, string>> = {
  EXPIRED: "expired",
  SUPERSEDED: "drifted",
  CANCELLED: "cancelled",
};

/** The decision that ended it; none while it is open, or when it ended without. */
async function lastDecision(approval: ApprovalShape, context: GraphContext): Promise<Decision | undefined> {
  if (approval.status !== "APPROVED" && approval.status !== "DENIED") return undefined;
  return (await decisionsAbout(approval, context)).at(-1);
}

const rolesOf = defineLoader(findRolesOf, ({ principalId }) => principalId);

async function findRolesOf(caller: Caller, principalIds: readonly string[]) {
  return withTenantOnce(caller, (tx) =>
    Promise.all(
      principalIds.map(async (principalId) => ({ principalId, roles: await readMemberRoles(tx, caller, principalId) })),
    ),
  );
}

/** The rules of `decideApproval`, before it is tried. */
async function mayDecide(approval: ApprovalShape, context: GraphContext): Promise<boolean> {
  const caller = callerOf(context);
  if (!isOpen(approval.status) || !hasPermission(caller, "approval:decide")) return false;
  const { principalId, principalKind } = caller;
  const { policy, requestedBy } = approval;
  const roles = policy.approverRoles.length === 0 ? [] : ((await rolesOf(context).load(principalId))?.roles ?? []);
  const toldBy = await findTellers(approval, context);
  if (objectionTo({ ...policy, requestedBy, toldBy }, { principalId, principalKind, roles }) !== undefined)
    return false;
  return (await decisionsAbout(approval, context)).every(({ decidedBy }) => decidedBy !== principalId);
}

/** Who had told the run that asks what to do. */
async function findTellers({ runId }: ApprovalShape, context: GraphContext): Promise<readonly string[]> {
  return runId === null ? [] : ((await runById(context).load(runId))?.toldBy ?? []);
}

/** A page of the inbox, and where in the inbox's stream its reader stands. */
interface Inbox extends ConnectionShape<ApprovalShape> {
  readonly cursor: string;
}

const ApprovalConnection = connectionRef(builder, "Approval", ApprovalRef);
builder.objectFields(ApprovalConnection, (t) => ({
  cursor: t.field({
    type: "Cursor",
    description:
      "The last event committed before the inbox was read: approvalEvents(after: cursor) goes on without a hole.",
    resolve: (connection) => (connection as Inbox).cursor,
  }),
}));

const ApprovalFilter = builder.inputType("ApprovalFilter", {
  fields: (t) => ({
    status: t.field({ type: [ApprovalStatusRef], validate: { maxLength: APPROVAL_STATUSES.length } }),
    runId: t.id({ validate: { maxLength: 64 } }),
    mayDecide: t.boolean({ description: "Only what the caller may decide now." }),
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
    resolve: async (_root, { filter, ...page }, context): Promise<Inbox> => {
      const runId = filter?.runId ?? undefined;
      const caller = callerOf(context);
      // Before the list: what happens in between is then told twice, and not missed.
      const cursor = await readInboxCursor(caller);
      const { items, hasNextPage } = await listApprovals(caller, page, {
        status: filter?.status ?? undefined,
        runId: runId === undefined ? undefined : decodeId("Run", runId),
        mayDecide: filter?.mayDecide ?? undefined,
      });
      const found = { items: items.map(approvalOfRow), hasNextPage };
      return { ...toConnection(found, { after: page.after, cursorOf: idCursor }), cursor };
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
    description:
      "Approves or denies, each approver once, until the policy is satisfied. Who and when come from the token and the server's clock.",
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

type ChangePayload = { change: ApprovalChangeKind; approval: ApprovalSnapshot };
type ApprovalEvent = EventRecord<ChangePayload>;

const ApprovalChangeRef = builder.enumType("ApprovalChange", { values: APPROVAL_CHANGES });

const ApprovalEventRef = builder.objectRef<ApprovalEvent>("ApprovalEvent").implement({
  description: "A change of the inbox.",
  fields: (t) => ({
    cursor: t.field({ type: "Cursor", resolve: (event) => encodeCursor(event.stream, event.seq) }),
    seq: t.exposeInt("seq"),
    at: t.field({ type: "DateTime", resolve: (event) => event.at }),
    gap: t.field({
      type: eventGapRef(builder),
      nullable: true,
      description: GAP_FIELD,
      resolve: ({ gap }) => gap,
    }),
    change: t.field({ type: ApprovalChangeRef, resolve: (event) => event.payload.change }),
    approval: t.field({ type: ApprovalRef, resolve: (event) => approvalOfEvent(event.payload) }),
  }),
});

builder.subscriptionField("approvalEvents", (t) =>
  t.field({
    type: ApprovalEventRef,
    description: "The inbox, live: every change after the cursor, or from the beginning, and then each as it happens.",
    authScopes: { permission: "approval:read" },
    args: {
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      consumer: t.arg.string({ description: CONSUMER_ARGUMENT, validate: { regex: CONSUMER_NAME } }),
    },
    subscribe: async (_root, start, context) => {
      const caller = callerOf(context);
      const stream = approvalStream(caller.tenantId);
      const after = await startAfter(caller, stream, start);
      return streamEvents(caller, stream, { after, signal: context.signal });
    },
    resolve: (event) => event as ApprovalEvent,
  }),
);
