import { requirePermission, type Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { isPermission } from "@sba/platform/permissions";
import { getAgentVersion } from "../agent/version.ts";
import { errors } from "../errors.ts";
import { findTool } from "../tool/index.ts";

/** The run, locked until the transaction ends. @throws AGENT_RUN_NOT_FOUND */
export async function lockRun(tx: Tx, runId: string): Promise<RunRow> {
  const [run] = await tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${runId} FOR UPDATE`;
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  return run;
}

/** Who has told the run what to do, once these have. */
export function tellersWith({ toldBy }: Pick<RunRow, "toldBy">, principalIds: readonly string[]): string[] {
  return [...new Set([...toldBy, ...principalIds])];
}

/**
 * Who tells a run what to do next must be allowed what its tools do for it: it acts with the permissions of whoever started it.
 * @throws PERMISSION_MISSING
 */
export async function requireMayTell(tx: Tx, caller: Caller, run: RunRow): Promise<void> {
  const { tools } = await getAgentVersion(tx, run.agentVersionId);
  const needed = new Set(tools.flatMap((name) => findTool(name)?.requires ?? []));
  for (const permission of run.permissions) {
    if (isPermission(permission) && needed.has(permission)) requirePermission(caller, permission);
  }
}
