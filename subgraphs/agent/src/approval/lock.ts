import type { Tx } from "@sba/platform/db";
import type { Approval, ApprovalDecision, Run } from "@sba/platform/generated/prisma/client";
import { countedOf, readDecisions } from "./approval.ts";

export interface FoundApproval {
  readonly approval: Approval;
  /** Those that count. */
  readonly decisions: readonly ApprovalDecision[];
  /** The run that waits. */
  readonly run: Run | undefined;
  /** The database's clock: what every deadline is held against. */
  readonly now: Date;
}

/** An approval as whoever locked it finds it: nobody else can change it, or its run, until the transaction ends. */
export type LockedApproval = FoundApproval;

/** Locks the run first, as its loop does, so that the two never wait for each other. One round trip. */
export async function lockApproval(tx: Tx, id: string): Promise<LockedApproval | undefined> {
  const [runs, found, decisions] = await Promise.all([
    tx.sql<Run>`SELECT * FROM agent.run WHERE id = (SELECT run_id FROM agent.approval WHERE id = ${id}) FOR UPDATE`,
    tx.sql<Found>`SELECT *, clock_timestamp() AS now FROM agent.approval WHERE id = ${id} FOR UPDATE`,
    readDecisions(tx, [id]),
  ]);
  return found.map((each) => foundOf(each, runs, decisions))[0];
}

/**
 * Locks those of these approvals that runs wait for and that nobody else has locked: whoever locks several and waits for one of them would
 * have all of them wait. One round trip. By approval's UUID.
 */
export async function lockFreeApprovals(tx: Tx, ids: readonly string[]): Promise<ReadonlyMap<string, LockedApproval>> {
  const [runs, found, decisions] = await Promise.all([
    tx.sql<Run>`
      SELECT * FROM agent.run WHERE id = ANY(ARRAY(SELECT run_id FROM agent.approval WHERE id = ANY(${[...ids]}::uuid[])))
      FOR UPDATE SKIP LOCKED`,
    tx.sql<Found>`
      SELECT *, clock_timestamp() AS now FROM agent.approval WHERE id = ANY(${[...ids]}::uuid[]) AND run_id IS NOT NULL
      FOR UPDATE SKIP LOCKED`,
    readDecisions(tx, ids),
  ]);
  const locked = found.map((each) => foundOf(each, runs, decisions)).filter(({ run }) => run !== undefined);
  return new Map(locked.map((each) => [each.approval.id, each]));
}

/** A row of an approval, with the database's clock. */
type Found = Approval & { readonly now: Date };

/** The approval as it was found, of runs and decisions of this one and others. */
function foundOf(
  { now, ...approval }: Found,
  runs: readonly Run[],
  decisions: readonly ApprovalDecision[],
): FoundApproval {
  const run = runs.find(({ id }) => id === approval.runId);
  return { approval, decisions: countedOf(approval, decisions), run, now };
}

/** The same of an approval that is only looked at. Issues its statements at once. */
export async function readApproval(tx: Tx, id: string): Promise<FoundApproval | undefined> {
  const [runs, [found], decisions] = await Promise.all([
    tx.sql<Run>`SELECT * FROM agent.run WHERE id = (SELECT run_id FROM agent.approval WHERE id = ${id})`,
    tx.sql<Found>`SELECT *, clock_timestamp() AS now FROM agent.approval WHERE id = ${id}`,
    readDecisions(tx, [id]),
  ]);
  return found && foundOf(found, runs, decisions);
}
