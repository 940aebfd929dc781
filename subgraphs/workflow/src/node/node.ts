import {
  findAgents,
  findApprovals,
  findArtifacts,
  findNotes,
  findRuns,
  findTasks,
  findThreads,
  findVersions,
} from "@sba/agent/index";
import { findWebhookEndpoints, listToolCalls } from "@sba/integrations/index";
import { findBudgets } from "@sba/billing/index";
import { findApiKeys, findAuditEntries, findMembers, findOwnSessions, findPrincipals } from "@sba/identity/index";
import { findChunks, findCollections, findDocuments, getIngestion } from "@sba/knowledge/index";
import { AppError } from "@sba/platform/errors";
import type { Caller } from "@sba/platform/caller";
import type { IdType } from "@sba/platform/ids";
import type { Permission } from "@sba/platform/permissions";
import { findWorkflowRuns } from "../workflow-run/workflow-run.ts";
import { findWorkflows } from "../workflow/workflow.ts";

/** Every entity that `node(id)` finds: by whom it is found and what reading it takes. */

export interface NodeKind {
  /** What its own queries ask for; null for what they show only to whom it belongs. */
  readonly permission: Permission | null;
  /** True for what the caller may read without it. */
  readonly isOwn?: (caller: Caller, id: string) => boolean;
  /** Those of these UUIDs that the caller's tenant has. */
  readonly find: (caller: Caller, ids: readonly string[]) => Promise<readonly { readonly id: string }[]>;
}

/** Types with an id that is no entity of its own (a step, a decision) are not here: they are read through what they belong to. */
export const nodeKinds: Readonly<Partial<Record<IdType, NodeKind>>> = {
  Tenant: { permission: "tenant:read", isOwn: isOwnTenant, find: findOwnTenant },
  Principal: { permission: "member:read", isOwn: (caller, id) => id === caller.principalId, find: findPrincipals },
  Member: { permission: "member:read", find: findMembersById },
  ApiKey: { permission: "apikey:manage", find: findApiKeys },
  Session: { permission: null, find: findOwnSessions },
  AuditEntry: { permission: "audit:read", find: findAuditEntries },
  Collection: { permission: "knowledge:read", find: findCollections },
  Document: { permission: "knowledge:read", find: findDocuments },
  Chunk: { permission: "knowledge:read", find: findChunks },
  Ingestion: { permission: "knowledge:read", find: findIngestions },
  Agent: { permission: "agent:read", find: findAgents },
  AgentVersion: { permission: "agent:read", find: findVersions },
  Thread: { permission: "run:read", find: findThreads },
  ToolCall: { permission: "run:read", find: listToolCalls },
  Run: { permission: "run:read", find: findRuns },
  Artifact: { permission: "run:read", find: findArtifacts },
  Approval: { permission: "approval:read", find: findApprovals },
  Task: { permission: "task:read", find: findTasks },
  Budget: { permission: "budget:read", find: findBudgets },
  WebhookEndpoint: { permission: "integration:read", find: findWebhookEndpoints },
  Note: { permission: "note:read", find: findNotes },
  Workflow: { permission: "workflow:read", find: findWorkflows },
  WorkflowRun: { permission: "workflow:read", find: findWorkflowRuns },
};

/** Whoever acts in a tenant sees it: `me { tenant }` asks for nothing more. */
function isOwnTenant(caller: Caller, id: string): boolean {
  return id === caller.tenantId;
}

function findOwnTenant(caller: Caller, ids: readonly string[]): Promise<{ id: string }[]> {
  return Promise.resolve(ids.filter((id) => isOwnTenant(caller, id)).map((id) => ({ id })));
}

async function findMembersById(caller: Caller, ids: readonly string[]): Promise<{ id: string }[]> {
  return (await findMembers(caller, ids)).map(({ userId }) => ({ id: userId }));
}

async function findIngestions(caller: Caller, ids: readonly string[]): Promise<{ id: string }[]> {
  const found = await Promise.all(ids.map((id) => getIngestion(caller, id).catch(undefinedWhenAbsent)));
  return found.filter((ingestion) => ingestion !== undefined);
}

function undefinedWhenAbsent(error: unknown): undefined {
  if (!(error instanceof AppError && error.kind === "not_found")) throw error;
}
