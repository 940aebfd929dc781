import type { Agent, AgentVersion } from "@sba/platform/generated/prisma/client";
import { callerOf, connectionRef, defineLoader, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { PrincipalStub } from "../stubs.graphql.ts";
import { findTool } from "../tool/index.ts";
import { ToolRef } from "../tool/tool.graphql.ts";
import { findAgents, findCurrentVersions, findVersions, listAgents } from "./agent.ts";

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

export const AgentRef = builder.objectRef<Agent>("Agent");
AgentRef.implement({
  description: "Something that answers prompts by its instructions and tools.",
  fields: (t) => ({
    id: t.id({ resolve: (agent) => encodeId("Agent", agent.id) }),
    key: t.exposeString("key", { description: "What callers name it by; unique within the tenant." }),
    name: t.exposeString("name"),
    createdAt: t.field({ type: "DateTime", resolve: (agent) => agent.createdAt }),
    version: t.field({
      type: AgentVersionRef,
      description: "The version that new runs are pinned to.",
      resolve: async (agent, _args, context) => {
        const version = await currentVersionOf(context).load(agent.id);
        if (!version) throw errors.AGENT_AGENT_NOT_FOUND();
        return version;
      },
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
