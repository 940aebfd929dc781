import type { Agent, AgentVersion } from "@sba/platform/generated/prisma/client";
import { callerOf, connectionRef, defineLoader, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { PrincipalStub } from "../stubs.graphql.ts";
import { findTool } from "../tool/index.ts";
import { ToolRef } from "../tool/tool.graphql.ts";
import { createAgent, findAgents, listAgents, publishAgentVersion, type BusyThreadPolicy } from "./agent.ts";
import {
  changedTools,
  findCurrentVersions,
  findVersions,
  getVersionByNumber,
  listVersions,
  versionCursor,
} from "./version.ts";

export const agentById = defineLoader(findAgents, (agent) => agent.id);
export const versionById = defineLoader(findVersions, (version) => version.id);
const currentVersionOf = defineLoader(findCurrentVersions, (version) => version.agentId);

export const AgentVersionRef = builder.objectRef<AgentVersion>("AgentVersion");
AgentVersionRef.implement({
  description: "What an agent does, as it was published: it never changes, and a run stays with the one it began with.",
  fields: (t) => ({
    id: t.id({ resolve: (version) => encodeId("AgentVersion", version.id) }),
    number: t.exposeInt("number"),
    instructions: t.exposeString("instructions"),
    model: t.exposeString("model", {
      description: 'A model\'s name, or "default": what the platform is configured with when a run starts.',
    }),
    tools: t.field({ type: [ToolRef], resolve: (version) => version.tools.flatMap((name) => findTool(name) ?? []) }),
    changedTools: t.stringList({
      description: "Names of tools that are no longer defined as they were when the version was published.",
      resolve: changedTools,
    }),
    fallbackModels: t.stringList({
      description: "Models that answer, in this order, when the agent's own does not.",
      resolve: (version) => version.fallbackModels,
    }),
    answerCacheSeconds: t.exposeInt("answerCacheSeconds", {
      nullable: true,
      description: "How long an answer may be given again to the same request; null: never.",
    }),
    publishedAt: t.field({ type: "DateTime", resolve: (version) => version.publishedAt }),
    publishedBy: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: (version) => ({ id: encodeId("Principal", version.publishedBy) }),
    }),
  }),
});

builder.asEntity(AgentVersionRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => versionById(context).load(decodeId("AgentVersion", id)),
});

const VersionConnection = connectionRef(builder, "AgentVersion", AgentVersionRef);

export const BusyThreadPolicyRef = builder.enumType("BusyThreadPolicy", {
  description: "What happens to new input for a thread while a run of it is under way.",
  values: {
    REJECT: { description: "It is refused." },
    ENQUEUE: { description: "It is answered when the run has ended." },
    INTERRUPT: { description: "The run ends and what it has done is kept; the input is answered then." },
    ROLLBACK: { description: "The run ends and is forgotten by the thread; the input is answered then." },
  } satisfies Record<BusyThreadPolicy, object>,
});

export const AgentRef = builder.objectRef<Agent>("Agent");
AgentRef.implement({
  description: "Something that answers prompts by its instructions and tools.",
  fields: (t) => ({
    id: t.id({ resolve: (agent) => encodeId("Agent", agent.id) }),
    key: t.exposeString("key", { description: "What callers name it by; unique within the tenant." }),
    name: t.exposeString("name"),
    createdAt: t.field({ type: "DateTime", resolve: (agent) => agent.createdAt }),
    onBusyThread: t.field({
      type: BusyThreadPolicyRef,
      description: "What happens to new input for a busy thread, unless a call says otherwise.",
      resolve: (agent) => agent.onBusyThread as BusyThreadPolicy,
    }),
    version: t.field({
      type: AgentVersionRef,
      description: "One version; without a number the one that new runs are pinned to.",
      authScopes: { permission: "agent:read" },
      args: { number: t.arg.int({ validate: { min: 1 } }) },
      resolve: async (agent, { number }, context) => {
        if (number !== null && number !== undefined) return getVersionByNumber(callerOf(context), agent.id, number);
        const version = await currentVersionOf(context).load(agent.id);
        if (!version) throw errors.AGENT_AGENT_NOT_FOUND();
        return version;
      },
    }),
    versions: t.field({
      type: VersionConnection,
      description: "All that was published, newest first.",
      authScopes: { permission: "agent:read" },
      args: {
        first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
        after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      },
      resolve: async (agent, page, context) =>
        toConnection(await listVersions(callerOf(context), agent.id, page), {
          after: page.after,
          cursorOf: versionCursor,
        }),
    }),
  }),
});
builder.asEntity(AgentRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => agentById(context).load(decodeId("Agent", id)),
});

const AgentConnection = connectionRef(builder, "Agent", AgentRef);

builder.queryFields((t) => ({
  agents: t.field({
    type: AgentConnection,
    description: "The tenant's agents, newest first.",
    authScopes: { permission: "agent:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, args, context) =>
      toConnection(await listAgents(callerOf(context), args), { after: args.after, cursorOf: idCursor }),
  }),
  agent: t.field({
    type: AgentRef,
    description: "One agent.",
    authScopes: { permission: "agent:read" },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: async (_root, { id }, context) => {
      const agent = await agentById(context).load(decodeId("Agent", id));
      if (!agent) throw errors.AGENT_AGENT_NOT_FOUND();
      return agent;
    },
  }),
}));

type Refinement = [(names: readonly string[]) => boolean, { message: string }];
const namesOnce: Refinement = [(names) => new Set(names).size === names.length, { message: "must not name one twice" }];
const modelName = { minLength: 1, maxLength: 200 } as const;
const instructions = { minLength: 1, maxLength: 32_000 } as const;
const toolNames = { maxLength: 64, refine: namesOnce };
const fallbackNames = { maxLength: 3, items: modelName, refine: namesOnce };
const cacheSeconds = { min: 1, max: 2_592_000 } as const;
const idempotencyKey = { minLength: 1, maxLength: 255 } as const;
const kebabCase: [RegExp, { message: string }] = [
  /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/,
  { message: "must be lower case letters and digits, with hyphens between words" },
];

const CreateAgentInput = builder.inputType("CreateAgentInput", {
  fields: (t) => ({
    key: t.string({ required: true, validate: { maxLength: 64, regex: kebabCase } }),
    name: t.string({ required: true, validate: { minLength: 1, maxLength: 200 } }),
    instructions: t.string({ required: true, validate: instructions }),
    model: t.string({ validate: modelName, description: '"default" when absent.' }),
    tools: t.stringList({ required: true, validate: toolNames }),
    onBusyThread: t.field({ type: BusyThreadPolicyRef, defaultValue: "ENQUEUE" }),
    fallbackModels: t.stringList({ validate: fallbackNames, description: "As in AgentVersion." }),
    answerCacheSeconds: t.int({ validate: cacheSeconds, description: "As in AgentVersion." }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

const PublishAgentVersionInput = builder.inputType("PublishAgentVersionInput", {
  fields: (t) => ({
    agentId: t.id({ required: true, validate: { maxLength: 64 } }),
    instructions: t.string({ required: true, validate: instructions }),
    model: t.string({ validate: modelName, description: '"default" when absent.' }),
    tools: t.stringList({ required: true, validate: toolNames }),
    fallbackModels: t.stringList({ validate: fallbackNames, description: "As in AgentVersion." }),
    answerCacheSeconds: t.int({ validate: cacheSeconds, description: "As in AgentVersion." }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

interface GivenVersion {
  readonly instructions: string;
  readonly model?: string | null | undefined;
  readonly tools: readonly string[];
  readonly fallbackModels?: readonly string[] | null | undefined;
  readonly answerCacheSeconds?: number | null | undefined;
  readonly idempotencyKey?: string | null | undefined;
}

/** Without what was not given, so that two requests that mean the same hash the same. */
function versionOf(given: GivenVersion) {
  return {
    instructions: given.instructions,
    model: given.model ?? "default",
    tools: given.tools,
    fallbackModels: given.fallbackModels ?? [],
    answerCacheSeconds: given.answerCacheSeconds ?? undefined,
    idempotencyKey: given.idempotencyKey ?? undefined,
  };
}

builder.mutationFields((t) => ({
  createAgent: t.field({
    type: AgentRef,
    description: "Creates an agent with its first version.",
    authScopes: { permission: "agent:manage" },
    args: { input: t.arg({ type: CreateAgentInput, required: true }) },
    resolve: (_root, { input }, context) =>
      createAgent(callerOf(context), {
        ...versionOf(input),
        key: input.key,
        name: input.name,
        onBusyThread: input.onBusyThread ?? "ENQUEUE",
      }),
  }),
  publishAgentVersion: t.field({
    type: AgentVersionRef,
    description: "Publishes a version: new runs are pinned to it, and those that exist go on with theirs.",
    authScopes: { permission: "agent:manage" },
    args: { input: t.arg({ type: PublishAgentVersionInput, required: true }) },
    resolve: (_root, { input }, context) =>
      publishAgentVersion(callerOf(context), { ...versionOf(input), agentId: decodeId("Agent", input.agentId) }),
  }),
}));
