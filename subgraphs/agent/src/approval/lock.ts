import type { Tx } from "@sba/platform/db";
import type { Approval, ApprovalDecision, Run } from "@sba/platform/generated/prisma/client";
import { countedOf, readDecisions } from "./approval.ts";

/** An approval as whoever locked it finds it: nobody else can change it, or its run, until the transaction ends. */
export interface LockedApproval {
  readonly approval: Approval;
  /** Those that count. */
  readonly decisions: readonly ApprovalDecision[];
  /** The run that waits. */
  readonly run: Run | undefined;
  /** The database's clock: what every deadline is held against. */
  readonly now: Date;
}

/** Locks the run first, as its loop does, so that the two never wait for each other. One round trip. */
export async function lockApproval(tx: Tx, id: string): Promise<LockedApproval | undefined> {
  const [[run], [found], decisions] = await Promise.all([
    tx.sql<Run>`SELECT * FROM agent.run WHERE id = (SELECT run_id FROM agent.approval WHERE id = ${id}) FOR UPDATE`,
    tx.sql<
      Approval & { now: Date }
    >`SELECT *, clock_timestamp() AS now FROM agent.approval WHERE id = ${id} FOR UPDATE`,
    readDecisions(tx, [id]),
  ]);
  if (!found) return undefined;
  const { now, ...approval } = found;
  return { approval, decisions: countedOf(approval, decisions), run, now };
}
