import type { Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { errors } from "../errors.ts";

/** The run, locked until the transaction ends. @throws AGENT_RUN_NOT_FOUND */
export async function lockRun(tx: Tx, runId: string): Promise<RunRow> {
  const [run] = await tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${runId} FOR UPDATE`;
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  return run;
}
