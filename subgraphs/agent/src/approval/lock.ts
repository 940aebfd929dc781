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

/** As `lockApprovals`. */
export async function lockApproval(tx: Tx, id: string): Promise<LockedApproval | undefined> {
  return (await lockApprovals(tx, [id])).get(id);
}

/**
 * Locks runs first, as their loop does, and each kind in the order of ids, so that no two wait for each other. One round trip. By
 * approval's UUID, without those that there are not.
 */
export async function lockApprovals(tx: Tx, ids: readonly string[]): Promise<ReadonlyMap<string, LockedApproval>> {
  const [runs, found, decisions] = await Promise.all([
    tx.sql<Run>`
      SELECT * FROM agent.run WHERE id = ANY(ARRAY(SELECT run_id FROM agent.approval WHERE id = ANY(${[...ids]}::uuid[])))
      ORDER BY id FOR UPDATE`,
    tx.sql<Approval & { now: Date }>`
      SELECT *, clock_timestamp() AS now FROM agent.approval WHERE id = ANY(${[...ids]}::uuid[]) ORDER BY id FOR UPDATE`,
    readDecisions(tx, ids),
  ]);
  const locked = found.map(({ now, ...approval }): LockedApproval => {
    const run = runs.find(({ id }) => id === approval.runId);
    return { approval, decisions: countedOf(approval, decisions), run, now };
  });
  return new Map(locked.map((each) => [each.approval.id, each]));
}
