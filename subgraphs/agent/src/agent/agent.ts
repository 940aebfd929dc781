import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import type { Agent, AgentVersion } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { isModelServed } from "../model/index.ts";
import { findTool } from "../tool/index.ts";
import { getAgentVersion, toolHashesOf } from "./version.ts";

/** An agent: a key that callers name, and immutable versions of what it does. New runs are pinned to the newest. */

/** What happens to new input for a thread while a run of it is under way. */
export type BusyThreadPolicy = "REJECT" | "ENQUEUE" | "INTERRUPT" | "ROLLBACK";

/** What one version of an agent does. */
export interface VersionInput {
  readonly instructions: string;
  /** A model's name, or "default": the one that the platform is configured with when a run starts. */
  readonly model: string;
  /** Names of registered tools, each once. */
  readonly tools: readonly string[];
  /** Names of models that answer, in this order, when the agent's own does not. */
  readonly fallbackModels?: readonly string[];
  /** How long an answer may be given again to the same request; never when absent. */
  readonly answerCacheSeconds?: number | undefined;
}

export interface CreateAgentInput extends VersionInput {
  /** Unique within the tenant: lower case letters, digits, hyphens. */
  readonly key: string;
  readonly name: string;
  /** ENQUEUE by default. */
  readonly onBusyThread?: BusyThreadPolicy;
  readonly idempotencyKey?: string | undefined;
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

/** They are the platform's: a tenant that wants another makes one under its own key. */
const BUILT_IN_KEYS: ReadonlySet<string> = new Set(BUILT_IN_AGENTS.map(({ key }) => key));

/** Gives a new tenant the built-in agents. Idempotent: an agent whose key exists is left as it is. */
export async function createBuiltInAgents(caller: Caller): Promise<void> {
  await withTenant(caller, async (tx) => {
    for (const agent of BUILT_IN_AGENTS) await insertAgent(tx, caller, newId(), agent);
  });
}

/**
 * Creates an agent with its first version. Idempotent by key.
 * @throws AGENT_AGENT_KEY_TAKEN, AGENT_AGENT_TOOL_UNKNOWN, AGENT_AGENT_MODEL_UNKNOWN, IDEMPOTENCY_KEY_REUSED
 */
export async function createAgent(caller: Caller, { idempotencyKey, ...input }: CreateAgentInput): Promise<Agent> {
  return withTenant(caller, async (tx) => {
    const operation = { operation: "createAgent", key: idempotencyKey, input };
    const id = await once(tx, caller, operation, newId(), async (agentId) => {
      requireKnown(input);
      const isFree = !BUILT_IN_KEYS.has(input.key) && (await insertAgent(tx, caller, agentId, input));
      if (!isFree) throw errors.AGENT_AGENT_KEY_TAKEN({ details: { key: input.key } });
    });
    return (await tx.sql<Agent>`SELECT * FROM agent.agent WHERE id = ${id}`)[0]!;
  });
}

/** Inserts the agent and its first version; false when its key is taken. */
async function insertAgent(tx: Tx, caller: Caller, id: string, input: CreateAgentInput): Promise<boolean> {
  const [created] = await tx.sql<Pick<Agent, "id">>`
    INSERT INTO agent.agent (tenant_id, id, key, name, version_number, on_busy_thread)
    VALUES (${caller.tenantId}, ${id}, ${input.key}, ${input.name}, 1, ${input.onBusyThread ?? "ENQUEUE"})
    ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id`;
  if (!created) return false;
  await Promise.all([
    insertVersion(tx, caller, { id: newId(), agentId: id, number: 1 }, input),
    recordAudit(tx, caller, { action: "agent.agent.created", target: input.key, details: auditOf(input) }),
  ]);
  return true;
}

async function insertVersion(
  tx: Tx,
  caller: Caller,
  { id, agentId, number }: Pick<AgentVersion, "id" | "agentId" | "number">,
  { instructions, model, tools, fallbackModels = [], answerCacheSeconds }: VersionInput,
): Promise<void> {
  await tx.sql`
    INSERT INTO agent.agent_version (tenant_id, id, agent_id, number, instructions, model, tools, tool_hashes, fallback_models,
                                     answer_cache_seconds, published_by)
    VALUES (${caller.tenantId}, ${id}, ${agentId}, ${number}, ${instructions}, ${model}, ${[...tools]}::text[],
            ${json(toolHashesOf(tools))}::jsonb, ${[...fallbackModels]}::text[], ${answerCacheSeconds ?? null}, ${caller.principalId})`;
}

/** What a reviewer needs of a version; its instructions are read there. */
function auditOf({ model, tools, fallbackModels = [], answerCacheSeconds }: VersionInput) {
  return { model, tools, fallbackModels, answerCacheSeconds: answerCacheSeconds ?? null };
}

/** @throws AGENT_AGENT_TOOL_UNKNOWN, AGENT_AGENT_MODEL_UNKNOWN naming them */
function requireKnown({ model, tools, fallbackModels = [] }: VersionInput): void {
  const unknown = tools.filter((name) => !findTool(name));
  if (unknown.length > 0) {
    const message = `There is no tool ${unknown.join(", ")}.`;
    throw errors.AGENT_AGENT_TOOL_UNKNOWN({ message, details: { tools: unknown } });
  }
  const notServed = [model, ...fallbackModels].filter((name) => !isModelServed(name));
  if (notServed.length > 0) {
    const message = `No model ${notServed.join(", ")} is served here.`;
    throw errors.AGENT_AGENT_MODEL_UNKNOWN({ message, details: { models: notServed } });
  }
}

export interface PublishAgentVersionInput extends VersionInput {
  /** UUID. */
  readonly agentId: string;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Publishes a version: runs that are accepted from now on are pinned to it, those that exist are not touched. Idempotent by
 * key.
 * @throws AGENT_AGENT_NOT_FOUND, AGENT_AGENT_BUILT_IN, AGENT_AGENT_TOOL_UNKNOWN, AGENT_AGENT_MODEL_UNKNOWN,
 * IDEMPOTENCY_KEY_REUSED
 */
export async function publishAgentVersion(
  caller: Caller,
  { idempotencyKey, ...input }: PublishAgentVersionInput,
): Promise<AgentVersion> {
  return withTenant(caller, async (tx) => {
    const operation = { operation: "publishAgentVersion", key: idempotencyKey, input };
    const id = await once(tx, caller, operation, newId(), (versionId) =>
      insertNextVersion(tx, caller, versionId, input),
    );
    return getAgentVersion(tx, id);
  });
}

async function insertNextVersion(
  tx: Tx,
  caller: Caller,
  id: string,
  { agentId, ...input }: PublishAgentVersionInput,
): Promise<void> {
  requireKnown(input);
  // The row stays locked until the commit: of two versions published at once each has its number.
  const [agent] = await tx.sql<Agent>`
    UPDATE agent.agent SET version_number = version_number + 1 WHERE id = ${agentId} RETURNING *`;
  if (!agent) throw errors.AGENT_AGENT_NOT_FOUND();
  if (BUILT_IN_KEYS.has(agent.key)) throw errors.AGENT_AGENT_BUILT_IN({ details: { key: agent.key } });
  const number = agent.versionNumber;
  await Promise.all([
    insertVersion(tx, caller, { id, agentId, number }, input),
    recordAudit(tx, caller, {
      action: "agent.version.published",
      target: agent.key,
      details: { number, ...auditOf(input) },
    }),
  ]);
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
