import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { Agent, AgentVersion } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { recordAudit } from "@sba/platform/audit";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { findTool } from "../tool/index.ts";

/** An agent: a key that callers name, and immutable versions of what it does. New runs are pinned to the newest. */

export interface CreateAgentInput {
  /** Unique within the tenant: lower case letters, digits, hyphens. */
  readonly key: string;
  readonly name: string;
  readonly instructions: string;
  /** A model's name, or "default": the one that the platform is configured with when a run starts. */
  readonly model: string;
  /** Names of registered tools. */
  readonly tools: readonly string[];
}

const BUILT_IN_AGENTS: readonly CreateAgentInput[] = [
  {
    key: "handbook",
    name: "Handbook",
    instructions:
      "You answer questions from the tenant's documents. Look the question up with knowledge.search first. Answer only from " +
      "what it returns, in a few sentences, and mark each claim with the number of its source in square brackets, as [1]. " +
      "Then write the answer and its sources to a document with document.render. Say so when the documents do not answer the question.",
    model: "default",
    tools: ["knowledge.search", "document.render"],
  },
  {
    key: "assistant",
    name: "Assistant",
    instructions:
      "You help a member of a business. Look things up with knowledge.search when documents can answer, marking claims with the " +
      "number of their source as [1]; write documents with document.render; create tasks with task.create when asked to. " +
      "A person may have to approve what you ask for, and may refuse: then say so and go on without it.",
    model: "default",
    tools: ["knowledge.search", "document.render", "task.create"],
  },
];

/** Gives a new tenant the built-in agents. Idempotent: an agent whose key exists is left as it is. */
export async function createBuiltInAgents(caller: Caller): Promise<void> {
  await withTenant(caller, async (tx) => {
    for (const agent of BUILT_IN_AGENTS) await createAgent(tx, caller, agent);
  });
}

/**
 * Creates an agent with its first version, unless the tenant has one of that key.
 * @throws AGENT_AGENT_TOOL_UNKNOWN
 */
export async function createAgent(tx: Tx, caller: Caller, input: CreateAgentInput): Promise<void> {
  const unknown = input.tools.filter((name) => !findTool(name));
  if (unknown.length > 0) throw errors.AGENT_AGENT_TOOL_UNKNOWN({ details: { tools: unknown } });
  const [created] = await tx.sql<Pick<Agent, "id">>`
    INSERT INTO agent.agent (tenant_id, id, key, name, version_number)
    VALUES (${caller.tenantId}, ${newId()}, ${input.key}, ${input.name}, 1)
    ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id`;
  if (!created) return;
  await tx.sql`
    INSERT INTO agent.agent_version (tenant_id, id, agent_id, number, instructions, model, tools, published_by)
    VALUES (${caller.tenantId}, ${newId()}, ${created.id}, 1, ${input.instructions}, ${input.model},
            ${[...input.tools]}::text[], ${caller.principalId})`;
  await recordAudit(tx, caller, { action: "agent.agent.created", target: input.key, details: { tools: input.tools } });
}

export type AgentForRun = Agent & { readonly version: AgentVersion };

/** An agent and the version that a new run of it is pinned to. @throws AGENT_AGENT_NOT_FOUND */
export async function getAgentForRun(tx: Tx, key: string): Promise<AgentForRun> {
  // Sent together: one round trip.
  const [[agent], [version]] = await Promise.all([
    tx.sql<Agent>`SELECT * FROM agent.agent WHERE key = ${key}`,
    tx.sql<AgentVersion>`
      SELECT v.* FROM agent.agent_version v JOIN agent.agent a ON a.id = v.agent_id AND a.version_number = v.number
      WHERE a.key = ${key}`,
  ]);
  if (!agent || !version) throw errors.AGENT_AGENT_NOT_FOUND({ details: { agentKey: key } });
  return { ...agent, version };
}

/** The agents of the tenant, newest first. */
export async function listAgents(caller: Caller, { first, after }: PageRequest): Promise<Page<Agent>> {
  const before = decodeIdCursor(after);
  const rows = await reader(caller).agent.findMany({
    where: before === undefined ? {} : { id: { lt: before } },
    orderBy: { id: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}

/** The agents with these UUIDs that the tenant has. */
export function findAgents(caller: Caller, ids: readonly string[]): Promise<Agent[]> {
  return reader(caller).agent.findMany({ where: { id: { in: [...ids] } } });
}

/** The current version of each of these agents. */
export async function findCurrentVersions(caller: Caller, agentIds: readonly string[]): Promise<AgentVersion[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<AgentVersion>`
    SELECT v.* FROM agent.agent_version v JOIN agent.agent a ON a.id = v.agent_id AND a.version_number = v.number
    WHERE a.id = ANY(${[...agentIds]}::uuid[])`,
  );
}

/** The versions with these UUIDs that the tenant has. */
export function findVersions(caller: Caller, ids: readonly string[]): Promise<AgentVersion[]> {
  return reader(caller).agentVersion.findMany({ where: { id: { in: [...ids] } } });
}
