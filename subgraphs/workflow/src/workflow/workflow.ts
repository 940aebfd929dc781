import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import type { Workflow, WorkflowVersion } from "@sba/platform/generated/prisma/client";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { hashSteps, parseSteps, type StepDefinition } from "./definition.ts";

/** A workflow: a key that callers name, and immutable versions of its steps. New runs are pinned to the newest. */

export interface CreateWorkflowInput {
  /** Unique within the tenant: lower case letters, digits, hyphens. */
  readonly key: string;
  readonly name: string;
  /** `[{ key, kind, ...what the kind asks for }]`, as an author wrote them. */
  readonly steps: unknown;
}

const BUILT_IN_WORKFLOWS: readonly CreateWorkflowInput[] = [
  {
    key: "agentic",
    name: "Ask an agent",
    steps: [{ key: "answer", kind: "agent-run", agentKey: "handbook", prompt: "{{input.prompt}}" }],
  },
  {
    key: "render",
    name: "Render a document",
    steps: [
      {
        key: "document",
        kind: "tool-call",
        tool: "document.render",
        params: { title: "{{input.title}}", markdown: "{{input.markdown}}", format: "{{input.format}}" },
      },
    ],
  },
];

/** Gives a new tenant the built-in workflows. Idempotent: a workflow whose key exists is left as it is. */
export async function createBuiltInWorkflows(caller: Caller): Promise<void> {
  await withTenant(caller, async (tx) => {
    for (const workflow of BUILT_IN_WORKFLOWS) await insertWorkflow(tx, caller, workflow);
  });
}

/**
 * Creates a workflow with its first version and returns its UUID.
 * @throws WORKFLOW_DEFINITION_INVALID, WORKFLOW_WORKFLOW_KEY_TAKEN, PERMISSION_MISSING
 */
export async function createWorkflow(caller: Caller, input: CreateWorkflowInput): Promise<string> {
  requirePermission(caller, "workflow:manage");
  return withTenant(caller, async (tx) => {
    const id = await insertWorkflow(tx, caller, input);
    if (id === undefined) throw errors.WORKFLOW_WORKFLOW_KEY_TAKEN({ details: { key: input.key } });
    return id;
  });
}

async function insertWorkflow(
  tx: Tx,
  caller: Caller,
  { key, name, steps }: CreateWorkflowInput,
): Promise<string | undefined> {
  const parsed = parseSteps(steps);
  const [created] = await tx.sql<Pick<Workflow, "id">>`
    INSERT INTO workflow.workflow (tenant_id, id, key, name, version_number)
    VALUES (${caller.tenantId}, ${newId()}, ${key}, ${name}, 1)
    ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id`;
  if (!created) return undefined;
  await insertVersion(tx, caller, { workflowId: created.id, number: 1, steps: parsed });
  await recordAudit(tx, caller, {
    action: "workflow.workflow.created",
    target: encodeId("Workflow", created.id),
    details: { key, definitionHash: hashSteps(parsed) },
  });
  return created.id;
}

export interface PublishWorkflowVersionInput {
  readonly workflowId: string;
  readonly steps: unknown;
}

/**
 * Publishes the next version of a workflow and returns its UUID; runs under way stay with theirs.
 * @throws WORKFLOW_WORKFLOW_NOT_FOUND, WORKFLOW_DEFINITION_INVALID, PERMISSION_MISSING
 */
export async function publishWorkflowVersion(
  caller: Caller,
  { workflowId, steps }: PublishWorkflowVersionInput,
): Promise<string> {
  requirePermission(caller, "workflow:manage");
  return withTenant(caller, async (tx) => {
    const [workflow] = await tx.sql<Pick<Workflow, "versionNumber">>`
      UPDATE workflow.workflow SET version_number = version_number + 1 WHERE id = ${workflowId} RETURNING version_number`;
    if (!workflow) throw errors.WORKFLOW_WORKFLOW_NOT_FOUND();
    const parsed = parseSteps(steps);
    const id = await insertVersion(tx, caller, { workflowId, number: workflow.versionNumber, steps: parsed });
    await recordAudit(tx, caller, {
      action: "workflow.workflow.versionPublished",
      target: encodeId("Workflow", workflowId),
      details: { number: workflow.versionNumber, definitionHash: hashSteps(parsed) },
    });
    return id;
  });
}

interface NewVersion {
  readonly workflowId: string;
  readonly number: number;
  readonly steps: readonly StepDefinition[];
}

async function insertVersion(tx: Tx, caller: Caller, { workflowId, number, steps }: NewVersion): Promise<string> {
  const id = newId();
  await tx.sql`
    INSERT INTO workflow.workflow_version (tenant_id, id, workflow_id, number, steps, definition_hash, published_by)
    VALUES (${caller.tenantId}, ${id}, ${workflowId}, ${number}, ${json(steps)}::jsonb, ${hashSteps(steps)}, ${caller.principalId})`;
  return id;
}

/** The steps of a version; they were checked when it was published. */
export function stepsOf(version: Pick<WorkflowVersion, "steps">): readonly StepDefinition[] {
  return version.steps as unknown as readonly StepDefinition[];
}

/** A workflow and the version that a new run of it is pinned to. @throws WORKFLOW_WORKFLOW_NOT_FOUND */
export async function getWorkflowForRun(
  tx: Tx,
  key: string,
): Promise<{ workflow: Workflow; version: WorkflowVersion }> {
  const [workflow] = await tx.sql<Workflow>`SELECT * FROM workflow.workflow WHERE key = ${key}`;
  if (!workflow) throw errors.WORKFLOW_WORKFLOW_NOT_FOUND({ details: { workflowKey: key } });
  const [version] = await tx.sql<WorkflowVersion>`
    SELECT * FROM workflow.workflow_version WHERE workflow_id = ${workflow.id} AND number = ${workflow.versionNumber}`;
  return { workflow, version: version! };
}

/** The tenant's workflows, newest first. */
export async function listWorkflows(caller: Caller, { first, after }: PageRequest): Promise<Page<Workflow>> {
  const before = decodeIdCursor(after);
  const rows = await reader(caller).workflow.findMany({
    where: before === undefined ? {} : { id: { lt: before } },
    orderBy: { id: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}

/** The workflows with these UUIDs that the tenant has. */
export function findWorkflows(caller: Caller, ids: readonly string[]): Promise<Workflow[]> {
  return reader(caller).workflow.findMany({ where: { id: { in: [...ids] } } });
}

/** The tenant's workflow of this key. @throws WORKFLOW_WORKFLOW_NOT_FOUND */
export async function getWorkflowByKey(caller: Caller, key: string): Promise<Workflow> {
  const workflow = await reader(caller).workflow.findFirst({ where: { key } });
  if (!workflow) throw errors.WORKFLOW_WORKFLOW_NOT_FOUND({ details: { workflowKey: key } });
  return workflow;
}

/** The current version of each of these workflows. */
export async function findCurrentVersions(caller: Caller, workflowIds: readonly string[]): Promise<WorkflowVersion[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<WorkflowVersion>`
    SELECT v.* FROM workflow.workflow_version v JOIN workflow.workflow w ON w.id = v.workflow_id AND w.version_number = v.number
    WHERE w.id = ANY(${[...workflowIds]}::uuid[])`,
  );
}

/** The versions with these UUIDs that the tenant has. */
export function findVersions(caller: Caller, ids: readonly string[]): Promise<WorkflowVersion[]> {
  return reader(caller).workflowVersion.findMany({ where: { id: { in: [...ids] } } });
}
