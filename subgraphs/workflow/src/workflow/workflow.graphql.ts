import type { Workflow, WorkflowVersion } from "@sba/platform/generated/prisma/client";
import {
  callerOf,
  connectionRef,
  defineLoader,
  idCursor,
  toConnection,
  type GraphContext,
} from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { NodeRef, PrincipalStub } from "../node/node.ref.ts";
import { MAX_STEPS, type StepDefinition } from "./definition.ts";
import {
  createWorkflow,
  findCurrentVersions,
  findVersions,
  findWorkflows,
  getWorkflowByKey,
  listWorkflows,
  publishWorkflowVersion,
  stepsOf,
} from "./workflow.ts";

export const workflowById = defineLoader(findWorkflows, (workflow) => workflow.id);
export const versionById = defineLoader(findVersions, (version) => version.id);
const currentVersionOf = defineLoader(findCurrentVersions, (version) => version.workflowId);

const StepDefinitionRef = builder.objectRef<StepDefinition>("WorkflowStepDefinition").implement({
  description: "One step of a definition.",
  fields: (t) => ({
    key: t.exposeString("key"),
    kind: t.exposeString("kind"),
    config: t.field({
      type: "JSON",
      description: "What the kind asks for; strings may hold references.",
      resolve: ({ config }) => config,
    }),
  }),
});

export const WorkflowVersionRef = builder.objectRef<WorkflowVersion>("WorkflowVersion").implement({
  description:
    "What a workflow does, as it was published: it never changes, and a run stays with the one it began with.",
  fields: (t) => ({
    id: t.id({ resolve: (version) => encodeId("WorkflowVersion", version.id) }),
    number: t.exposeInt("number"),
    steps: t.field({ type: [StepDefinitionRef], resolve: (version) => [...stepsOf(version)] }),
    publishedAt: t.field({ type: "DateTime", resolve: (version) => version.publishedAt }),
    publishedBy: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: (version) => ({ id: encodeId("Principal", version.publishedBy) }),
    }),
  }),
});

export const WorkflowRef = builder.objectRef<Workflow>("Workflow").implement({
  description: "Steps that follow one another: runs of agents, calls of tools, approvals.",
  interfaces: [NodeRef],
  fields: (t) => ({
    id: t.id({ resolve: (workflow) => encodeId("Workflow", workflow.id) }),
    key: t.exposeString("key", { description: "What callers name it by; unique within the tenant." }),
    name: t.exposeString("name"),
    createdAt: t.field({ type: "DateTime", resolve: (workflow) => workflow.createdAt }),
    version: t.field({
      type: WorkflowVersionRef,
      description: "The version that new runs are pinned to.",
      resolve: async (workflow, _args, context) => {
        const version = await currentVersionOf(context).load(workflow.id);
        if (!version) throw errors.WORKFLOW_WORKFLOW_NOT_FOUND();
        return version;
      },
    }),
  }),
});
builder.asEntity(WorkflowRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => getWorkflow(context, decodeId("Workflow", id)),
});

async function getWorkflow(context: GraphContext, id: string): Promise<Workflow> {
  const workflow = await workflowById(context).clear(id).load(id);
  if (!workflow) throw errors.WORKFLOW_WORKFLOW_NOT_FOUND();
  return workflow;
}

const WorkflowConnection = connectionRef(builder, "Workflow", WorkflowRef);
const KEY = /^[a-z][a-z0-9-]{0,62}$/;

builder.queryFields((t) => ({
  workflows: t.field({
    type: WorkflowConnection,
    description: "The tenant's workflows, newest first.",
    authScopes: { permission: "workflow:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
    },
    resolve: async (_root, args, context) =>
      toConnection(await listWorkflows(callerOf(context), args), { after: args.after, cursorOf: idCursor }),
  }),
  workflow: t.field({
    type: WorkflowRef,
    description: "The tenant's workflow of this key.",
    authScopes: { permission: "workflow:read" },
    args: { key: t.arg.string({ required: true, validate: { minLength: 1, maxLength: 100 } }) },
    resolve: (_root, args, context) => getWorkflowByKey(callerOf(context), args.key),
  }),
}));

const CreateWorkflowInput = builder.inputType("CreateWorkflowInput", {
  fields: (t) => ({
    key: t.string({
      required: true,
      validate: {
        regex: [KEY, { message: "must be 1 to 63 small letters, digits or hyphens, beginning with a letter" }],
      },
    }),
    name: t.string({ required: true, validate: { minLength: 1, maxLength: 200 } }),
    steps: t.field({
      type: ["JSON"],
      required: true,
      description: "`{ key, kind, ... }` each, with what the kind asks for.",
      validate: { minLength: 1, maxLength: MAX_STEPS },
    }),
  }),
});

const PublishWorkflowVersionInput = builder.inputType("PublishWorkflowVersionInput", {
  fields: (t) => ({
    workflowId: t.id({ required: true, validate: { maxLength: 64 } }),
    steps: t.field({ type: ["JSON"], required: true, validate: { minLength: 1, maxLength: MAX_STEPS } }),
  }),
});

builder.mutationFields((t) => ({
  createWorkflow: t.field({
    type: WorkflowRef,
    description: "Creates a workflow with its first version.",
    authScopes: { permission: "workflow:manage" },
    args: { input: t.arg({ type: CreateWorkflowInput, required: true }) },
    resolve: async (_root, { input }, context) => getWorkflow(context, await createWorkflow(callerOf(context), input)),
  }),
  publishWorkflowVersion: t.field({
    type: WorkflowVersionRef,
    description: "Publishes the next version of a workflow; runs under way stay with theirs.",
    authScopes: { permission: "workflow:manage" },
    args: { input: t.arg({ type: PublishWorkflowVersionInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const workflowId = decodeId("Workflow", input.workflowId);
      const id = await publishWorkflowVersion(callerOf(context), { workflowId, steps: input.steps });
      const version = await versionById(context).load(id);
      if (!version) throw errors.WORKFLOW_WORKFLOW_NOT_FOUND();
      return version;
    },
  }),
}));
