import { ROLES } from "@sba/identity/index";
import { callerOf } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { PrincipalStub } from "../stubs.graphql.ts";
import { listApprovalPolicies, removeApprovalPolicy, setApprovalPolicy, type ApprovalPolicy } from "./policy.ts";

const RoleKeyRef = builder.objectRef<{ readonly key: string }>("ApproverRole").implement({
  description: "A role whose members may decide.",
  fields: (t) => ({ key: t.exposeString("key") }),
});

interface Approver {
  readonly role: { readonly key: string } | null;
  readonly userId: string | null;
}

const ApproverRef = builder.objectRef<Approver>("Approver").implement({
  description: "Who may decide: the members of a role, or one principal.",
  fields: (t) => ({
    role: t.field({ type: RoleKeyRef, nullable: true, resolve: ({ role }) => role }),
    user: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: ({ userId }) => (userId === null ? null : { id: encodeId("Principal", userId) }),
    }),
  }),
});

interface Approvers {
  readonly approverRoles: readonly string[];
  readonly approverIds: readonly string[];
}

const DECIDING_ROLES = Object.values(ROLES)
  .filter(({ permissions }) => permissions.includes("approval:decide"))
  .map(({ key }) => key);

/** Where neither roles nor principals are named, everybody whose role may decide at all. */
function approversOf({ approverRoles, approverIds }: Approvers): Approver[] {
  const roles = approverRoles.length + approverIds.length === 0 ? DECIDING_ROLES : approverRoles;
  return [
    ...roles.map((key) => ({ role: { key }, userId: null })),
    ...approverIds.map((userId) => ({ role: null, userId })),
  ];
}

export interface EffectivePolicy extends Approvers {
  readonly version: number | null;
  readonly quorum: number;
  readonly allowRequester: boolean;
}

export const EffectivePolicyRef = builder.objectRef<EffectivePolicy>("EffectiveApprovalPolicy").implement({
  description: "What it takes to decide an approval: the policy in force when it was asked for.",
  fields: (t) => ({
    version: t.exposeInt("version", { nullable: true, description: "Null where the tenant had set no policy." }),
    quorum: t.exposeInt("quorum", { description: "How many approvers must approve; one denial denies." }),
    approvers: t.field({ type: [ApproverRef], resolve: approversOf }),
    allowRequester: t.exposeBoolean("allowRequester", { description: "Whether who started the run may decide." }),
  }),
});

const PolicyRef = builder.objectRef<ApprovalPolicy>("ApprovalPolicy").implement({
  description: "What a tenant wants before a tool is called. Each change is a new version; earlier ones are kept.",
  fields: (t) => ({
    tool: t.exposeString("tool"),
    agentKey: t.string({
      nullable: true,
      description: "Null for every agent. An agent's own policy stands before that of every agent.",
      resolve: ({ agentKey }) => (agentKey === "" ? null : agentKey),
    }),
    version: t.exposeInt("version"),
    quorum: t.exposeInt("quorum"),
    approvers: t.field({ type: [ApproverRef], resolve: approversOf }),
    allowRequester: t.exposeBoolean("allowRequester"),
    expiresAfterSeconds: t.exposeInt("expiresAfterSeconds", { nullable: true }),
    thresholdMicros: t.field({
      type: "BigInt",
      nullable: true,
      description: "Only calls that cost more need approval. A tool that always needs it needs it below, too.",
      resolve: ({ thresholdMicros }) => thresholdMicros,
    }),
    setBy: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: ({ setBy }) => ({ id: encodeId("Principal", setBy) }),
    }),
    setAt: t.field({ type: "DateTime", resolve: ({ setAt }) => setAt }),
  }),
});

builder.queryField("approvalPolicies", (t) =>
  t.field({
    type: [PolicyRef],
    description: "The policies in force, by tool and agent; at most 100.",
    authScopes: { permission: "approval:read" },
    resolve: (_root, _args, context) => listApprovalPolicies(callerOf(context)),
  }),
);

const MAX_APPROVERS = 100;
const MAX_EXPIRY_SECONDS = 366 * 24 * 60 * 60;

const SetApprovalPolicyInput = builder.inputType("SetApprovalPolicyInput", {
  fields: (t) => ({
    tool: t.string({ required: true, validate: { minLength: 1, maxLength: 100 } }),
    agentKey: t.string({ validate: { minLength: 1, maxLength: 100 } }),
    quorum: t.int({ defaultValue: 1, validate: { min: 1, max: MAX_APPROVERS } }),
    approverRoles: t.stringList({ validate: { maxLength: MAX_APPROVERS, items: { maxLength: 100 } } }),
    approverIds: t.idList({ validate: { maxLength: MAX_APPROVERS, items: { maxLength: 64 } } }),
    allowRequester: t.boolean({ defaultValue: false }),
    expiresAfterSeconds: t.int({ validate: { min: 1, max: MAX_EXPIRY_SECONDS } }),
    thresholdMicros: t.field({
      type: "BigInt",
      validate: { refine: [isNotNegative, { message: "must be 0 or more" }] },
    }),
  }),
});

function isNotNegative(value: bigint | null | undefined): boolean {
  return value === null || value === undefined || value >= 0n;
}

builder.mutationField("setApprovalPolicy", (t) =>
  t.field({
    type: PolicyRef,
    description:
      "Sets who must agree before a tool is called. Approvals that wait keep the policy that they were asked under.",
    authScopes: { permission: "approval:manage" },
    args: { input: t.arg({ type: SetApprovalPolicyInput, required: true }) },
    resolve: (_root, { input }, context) =>
      setApprovalPolicy(callerOf(context), {
        tool: input.tool,
        agentKey: input.agentKey ?? undefined,
        quorum: input.quorum ?? 1,
        approverRoles: input.approverRoles ?? undefined,
        approverIds: input.approverIds?.map((id) => decodeId("Principal", id)),
        allowRequester: input.allowRequester ?? false,
        expiresAfterSeconds: input.expiresAfterSeconds ?? undefined,
        thresholdMicros: input.thresholdMicros ?? undefined,
      }),
  }),
);

const RemoveApprovalPolicyInput = builder.inputType("RemoveApprovalPolicyInput", {
  fields: (t) => ({
    tool: t.string({ required: true, validate: { minLength: 1, maxLength: 100 } }),
    agentKey: t.string({ validate: { minLength: 1, maxLength: 100 } }),
  }),
});

builder.mutationField("removeApprovalPolicy", (t) =>
  t.boolean({
    description:
      "Takes a policy out of force; false when there was none. Approvals that wait keep the policy that they were asked under.",
    authScopes: { permission: "approval:manage" },
    args: { input: t.arg({ type: RemoveApprovalPolicyInput, required: true }) },
    resolve: (_root, { input }, context) =>
      removeApprovalPolicy(callerOf(context), { tool: input.tool, agentKey: input.agentKey ?? undefined }),
  }),
);
