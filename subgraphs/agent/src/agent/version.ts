import { PRICE_LIST_VERSION } from "@sba/billing/index";
import type { Tool } from "@sba/integrations/index";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { json, withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import { platformErrors } from "@sba/platform/errors";
import type { Agent, AgentVersion, Run } from "@sba/platform/generated/prisma/client";
import { decodePageCursor, encodePageCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { LRUCache } from "lru-cache";
import { errors } from "../errors.ts";
import { resolveModelName } from "../model/index.ts";
import { findTool } from "../tool/index.ts";

/** A version of an agent: written once, read by every step of every run that is pinned to it. */

/** Characters of instructions that stay in memory: some hundred agents at their longest, thousands as they usually are. */
const MAX_CACHED_CHARACTERS = 16 * 1024 * 1024;
/** What a version weighs without its instructions. */
const OWN_WEIGHT = 1_000;

// The table takes neither updates nor deletions, so what was read once is true for ever. A tenant is part of every key.
const versions = new LRUCache<string, AgentVersion>({
  maxSize: MAX_CACHED_CHARACTERS,
  sizeCalculation: ({ instructions }) => OWN_WEIGHT + instructions.length,
});

/** The version of this UUID; no statement when this process has read it before. @throws AGENT_AGENT_VERSION_NOT_FOUND */
export async function getAgentVersion(tx: Tx, id: string): Promise<AgentVersion> {
  const key = `${tx.tenantId} ${id}`;
  const known = versions.get(key);
  if (known) return known;
  const [version] = await tx.sql<AgentVersion>`SELECT * FROM agent.agent_version WHERE id = ${id}`;
  if (!version) throw errors.AGENT_AGENT_VERSION_NOT_FOUND();
  versions.set(key, Object.freeze(version));
  return version;
}

/** The same outside of any transaction. @throws AGENT_AGENT_VERSION_NOT_FOUND */
export async function findVersionOnce(scope: TenantScope, id: string): Promise<AgentVersion> {
  return versions.get(`${scope.tenantId} ${id}`) ?? withTenantOnce(scope, (tx) => getAgentVersion(tx, id));
}

/** Definition hashes by the tool's name. */
export type ToolHashes = Readonly<Record<string, string>>;

/** How these tools are defined in this process; a name without a tool has no hash. */
export function toolHashesOf(names: readonly string[]): ToolHashes {
  return Object.fromEntries(names.flatMap((name) => hashEntry(findTool(name))));
}

function hashEntry(tool: Tool | undefined): [string, string][] {
  return tool ? [[tool.name, tool.definitionHash]] : [];
}

/** The columns of a run by which nothing that is published or deployed later changes what it does or costs. */
export type RunPin = Pick<Run, "agentVersionId" | "model" | "priceListVersion"> & { readonly toolHashes: ToolHashes };

/** What a run of this version is pinned to when it is accepted. Pure but for what this process was configured with. */
export function pinVersion({ id, model, tools }: AgentVersion): RunPin {
  return {
    agentVersionId: id,
    model: resolveModelName(model),
    toolHashes: toolHashesOf(tools),
    priceListVersion: PRICE_LIST_VERSION,
  };
}

/** Whether the run was accepted with a tool of this name: one that is delegated may have fewer than its agent. */
export function isPinned({ toolHashes }: Pick<Run, "toolHashes">, name: string): boolean {
  return Object.hasOwn(toolHashes as unknown as ToolHashes, name);
}

/** True when the tool is what it was when the run was accepted. */
export function isAsPinned({ toolHashes }: Pick<Run, "toolHashes">, tool: Tool): boolean {
  return (toolHashes as unknown as ToolHashes)[tool.name] === tool.definitionHash;
}

/** The tools whose definition is no longer what it was when the version was published, or that are gone. */
export function changedTools({ tools, toolHashes }: AgentVersion): string[] {
  const published = toolHashes as unknown as ToolHashes;
  return tools.filter((name) => published[name] !== findTool(name)?.definitionHash);
}

/** The agent of a key and the version that a new run of it is pinned to. @throws AGENT_AGENT_NOT_FOUND */
export async function getAgentForRun(tx: Tx, key: string): Promise<AgentForRun> {
  const [agent] = await tx.sql<Agent & { readonly versionId: string }>`
    SELECT a.*, v.id AS version_id FROM agent.agent a
    JOIN agent.agent_version v ON v.agent_id = a.id AND v.number = a.version_number
    WHERE a.key = ${key}`;
  if (!agent) throw errors.AGENT_AGENT_NOT_FOUND({ details: { agentKey: key } });
  return { ...agent, version: await getAgentVersion(tx, agent.versionId) };
}

/** An agent as a start that was decided without reading it believes it to be. */
interface BelievedVersion {
  /** Names the start to `platform.require_none`. */
  readonly key: string;
  readonly agentId: string;
  readonly number: number;
}

/** Fails the transaction unless the agent's current version is this one. Needs no answer. */
export function requireCurrentVersion(tx: Tx, believed: BelievedVersion): void {
  tx.gather(requireVersions, [believed]);
}

function requireVersions(tx: Tx, believed: readonly BelievedVersion[]): Promise<unknown> {
  return tx.sql`
    SELECT platform.require_none(ARRAY(
      SELECT key FROM json_to_recordset(${json(believed)}) AS asked (key text, "agentId" uuid, number int)
      WHERE number IS DISTINCT FROM (SELECT version_number FROM agent.agent WHERE tenant_id = ${tx.tenantId} AND id = "agentId")),
      'AGENT_VERSION_NOT_CURRENT')`;
}

export type AgentForRun = Agent & { readonly version: AgentVersion };

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

/** One version of an agent by its number. @throws AGENT_AGENT_VERSION_NOT_FOUND */
export async function getVersionByNumber(caller: Caller, agentId: string, number: number): Promise<AgentVersion> {
  const version = await reader(caller).agentVersion.findFirst({ where: { agentId, number } });
  if (!version) throw errors.AGENT_AGENT_VERSION_NOT_FOUND({ details: { number } });
  return version;
}

/** The same, in the caller's transaction. @throws AGENT_AGENT_VERSION_NOT_FOUND */
export async function readVersionByNumber(tx: Tx, agentId: string, number: number): Promise<AgentVersion> {
  const [version] = await tx.sql<AgentVersion>`
    SELECT * FROM agent.agent_version WHERE agent_id = ${agentId} AND number = ${number}`;
  if (!version) throw errors.AGENT_AGENT_VERSION_NOT_FOUND({ details: { number } });
  return version;
}

/** The versions of an agent, newest first. @throws CURSOR_INVALID */
export async function listVersions(
  caller: Caller,
  agentId: string,
  { first, after }: PageRequest,
): Promise<Page<AgentVersion>> {
  const before = decodeNumber(after);
  const rows = await reader(caller).agentVersion.findMany({
    where: { agentId, ...(before === undefined ? {} : { number: { lt: before } }) },
    orderBy: { number: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}

/** The cursor of a version in the list of its agent. */
export function versionCursor({ number }: Pick<AgentVersion, "number">): string {
  return encodePageCursor(`version ${number}`);
}

function decodeNumber(cursor: string | null | undefined): number | undefined {
  const key = decodePageCursor(cursor);
  if (key === undefined) return undefined;
  const number = /^version (\d{1,9})$/.exec(key)?.[1];
  if (number === undefined) throw platformErrors.CURSOR_INVALID();
  return Number(number);
}
