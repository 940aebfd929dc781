import { setTimeout as delay } from "node:timers/promises";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { trialsOf } from "@sba/testkit/trials";
import { describe, expect, it } from "vitest";
import { cancelRun } from "../run/cancel.ts";
import { driveRun } from "../testing.ts";
import { lapseApprovals } from "./lapse.ts";
import { anApproval, aRunThatAsks, decide } from "./testing.ts";

/** Whatever happens at the same time: one outcome, one event that tells it, one entry that says who. */

const database = useDatabase();
useBlobs();

const TRIALS = trialsOf(300);
// Each takes up to four connections: more at once would only wait for the pool.
const AT_A_TIME = 3;
// Only to end what hangs.
const TIMEOUT = 600_000;

/** Runs the trials, several at a time. */
async function trials<T>(trial: (number: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let first = 0; first < TRIALS; first += AT_A_TIME) {
    const numbers = Array.from({ length: Math.min(AT_A_TIME, TRIALS - first) }, (_, index) => first + index);
    results.push(...(await Promise.all(numbers.map(trial))));
  }
  return results;
}

interface Outcome {
  readonly status: string;
  /** How the inbox was told that it ended. */
  readonly ends: string[];
  readonly audited: string[];
  readonly decisions: string[];
}

/** What the tables say about these approvals, by id. */
async function outcomesOf(ids: readonly string[]): Promise<Map<string, Outcome>> {
  const { rows } = await database().owner.query<Outcome & { id: string }>(
    `SELECT a.id, a.status,
       ARRAY(SELECT payload->>'change' FROM platform.event WHERE stream = 'approvals:' || a.tenant_id
             AND payload->'approval'->>'id' = a.id::text AND payload->'approval'->>'status' <> 'PENDING' ORDER BY seq) AS ends,
       ARRAY(SELECT action FROM platform.audit_entry e WHERE e.tenant_id = a.tenant_id AND action LIKE 'agent.approval.%'
             AND details->>'fingerprint' = a.fingerprint ORDER BY id) AS audited,
       ARRAY(SELECT decision FROM agent.approval_decision d WHERE d.approval_id = a.id) AS decisions
     FROM agent.approval a WHERE a.id = ANY($1::uuid[])`,
    [ids],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

const decided = { ends: ["DECIDED"], audited: ["agent.approval.decided"] };

describe(`in ${TRIALS} trials, one outcome`, () => {
  it("of approvers who decide at the same time, for and against", { timeout: TIMEOUT }, async () => {
    const done = await trials(async (number) => {
      const approval = await anApproval();
      const decisions = (["APPROVED", "DENIED", "APPROVED", "DENIED"] as const).map(async (decision, index) => {
        const { tenantId } = approval;
        const options = index === number % 4 ? { idempotencyKey: "key" } : {};
        await decide(aCaller({ tenantId }), approval, decision, options);
        return decision;
      });
      return { id: approval.id, results: await Promise.allSettled(decisions) };
    });
    const outcomes = await outcomesOf(done.map(({ id }) => id));
    for (const { id, results } of done) {
      const won = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      expect(won).toHaveLength(1);
      expect(outcomes.get(id)).toMatchObject({ status: won[0], decisions: won, ...decided });
      for (const result of results)
        if (result.status === "rejected")
          expect(result.reason).toMatchObject({ code: "AGENT_APPROVAL_ALREADY_DECIDED", kind: "conflict" });
    }
  });

  it(
    "of one approver who decides twice at the same time: counted once, whatever the quorum",
    { timeout: TIMEOUT },
    async () => {
      const done = await trials(async (number) => {
        const approval = await anApproval(aCaller(), { quorum: 2 });
        const twice = aCaller({ tenantId: approval.tenantId });
        // With one key it is one request, answered twice; without, the second is too late.
        const options = number % 2 === 0 ? { idempotencyKey: newId() } : {};
        const results = await Promise.allSettled([1, 2, 3].map(() => decide(twice, approval, "APPROVED", options)));
        return { id: approval.id, number, results };
      });
      const outcomes = await outcomesOf(done.map(({ id }) => id));
      for (const { id, number, results } of done) {
        expect(outcomes.get(id)).toMatchObject({ status: "PENDING", decisions: ["APPROVED"], ends: [] });
        expect(outcomes.get(id)!.audited).toHaveLength(1);
        const fulfilled = results.filter(({ status }) => status === "fulfilled");
        expect(fulfilled).toHaveLength(number % 2 === 0 ? 3 : 1);
      }
    },
  );

  it("of the last two of a quorum: approved once", { timeout: TIMEOUT }, async () => {
    const done = await trials(async () => {
      const approval = await anApproval(aCaller(), { quorum: 2 });
      const { tenantId } = approval;
      const results = await Promise.allSettled(
        [1, 2, 3].map(() => decide(aCaller({ tenantId }), approval, "APPROVED")),
      );
      return { id: approval.id, results };
    });
    const outcomes = await outcomesOf(done.map(({ id }) => id));
    for (const { id, results } of done) {
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
      expect(outcomes.get(id)).toMatchObject({
        status: "APPROVED",
        ends: ["DECIDED"],
        decisions: ["APPROVED", "APPROVED"],
      });
    }
  });

  it("of a decision and a deadline", { timeout: TIMEOUT }, async () => {
    const done = await trials(async () => {
      const approval = await anApproval(aCaller(), { expiresAfterSeconds: 60 });
      // Its last deadline comes while it is being decided.
      await withTenant(
        approval,
        (tx) => tx.sql`
        UPDATE agent.approval SET escalated_at = created_at, expires_at = clock_timestamp() + random() * interval '6 milliseconds'
        WHERE id = ${approval.id}`,
      );
      const approver = aCaller({ tenantId: approval.tenantId });
      const [result] = await Promise.allSettled([decide(approver, approval, "APPROVED"), lapseApprovals()]);
      return { id: approval.id, result };
    });
    // Whoever was not found yet is found now.
    while ((await lapseApprovals()) > 0);
    const outcomes = await outcomesOf(done.map(({ id }) => id));
    for (const { id, result } of done) {
      if (result.status === "fulfilled") {
        expect(outcomes.get(id)).toMatchObject({ status: "APPROVED", decisions: ["APPROVED"], ...decided });
        continue;
      }
      expect(result.reason).toMatchObject({ code: "AGENT_APPROVAL_ALREADY_DECIDED", details: { status: "EXPIRED" } });
      const expired = { status: "EXPIRED", decisions: [], ends: ["EXPIRED"], audited: ["agent.approval.expired"] };
      expect(outcomes.get(id)).toMatchObject(expired);
    }
  });

  it("of a decision and the cancellation of its run, while a worker moves it", { timeout: TIMEOUT }, async () => {
    const callers = tenants();
    const done = await trials(async (number) => {
      const caller = callers[number % AT_A_TIME]!;
      const { runId, approval } = await aRunThatAsks(caller);
      const [decision] = await Promise.allSettled([
        decide(aColleagueOf(caller), approval, "APPROVED"),
        cancelRun(caller, { runId }),
        driveRun(caller, runId),
      ]);
      const { status } = await driveRun(caller, runId);
      return { id: approval.id, decision, status, tasks: await countTasks(runId) };
    });
    const outcomes = await outcomesOf(done.map(({ id }) => id));
    for (const { id, decision, status, tasks } of done) {
      const { audited, ...outcome } = outcomes.get(id)!;
      // When the run was done first, it is the cancellation that came too late.
      expect(["CANCELLED", "COMPLETED"]).toContain(status);
      if (decision.status === "fulfilled") {
        expect(outcome).toMatchObject({ status: "APPROVED", decisions: ["APPROVED"], ends: ["DECIDED"] });
        expect(audited).toEqual(["agent.approval.decided"]);
        expect(tasks).toBeLessThanOrEqual(1);
        continue;
      }
      expect(decision.reason).toMatchObject({
        code: "AGENT_APPROVAL_ALREADY_DECIDED",
        details: { status: "CANCELLED" },
      });
      expect(outcome).toMatchObject({ status: "CANCELLED", decisions: [], ends: ["CANCELLED"] });
      expect(audited).toEqual(["agent.approval.cancelled"]);
      expect([status, tasks]).toEqual(["CANCELLED", 0]);
    }
  });

  it("of an approval while the worker of its run dies: what was approved ran once", { timeout: TIMEOUT }, async () => {
    const callers = tenants();
    const done = await trials(async (number) => {
      const caller = callers[number % AT_A_TIME]!;
      const { runId, approval } = await aRunThatAsks(caller);
      const approved = decide(aColleagueOf(caller), approval, "APPROVED");
      await (number % 2 === 0 ? approved : Promise.race([approved, delay(number % 7)]));
      const worker = driveRun(caller, runId);
      await delay(number % 11);
      // What it does from now on is void, as that of a worker that died; another finds the run due.
      await database().owner.query(
        "UPDATE agent.run SET fence = fence + 1, lease_expires_at = NULL WHERE id = $1 AND lease_expires_at IS NOT NULL",
        [runId],
      );
      await Promise.all([worker, approved]);
      const { status } = await driveRun(caller, runId);
      return { id: approval.id, status, tasks: await countTasks(runId) };
    });
    const outcomes = await outcomesOf(done.map(({ id }) => id));
    for (const { id, status, tasks } of done) {
      expect([status, tasks]).toEqual(["COMPLETED", 1]);
      expect(outcomes.get(id)).toMatchObject({ status: "APPROVED", decisions: ["APPROVED"], ...decided });
    }
  });

  /** One for each trial that is under way; their agents are made once. */
  function tenants(): Caller[] {
    return Array.from({ length: AT_A_TIME }, () => aCaller());
  }

  async function countTasks(runId: string): Promise<number> {
    const { rows } = await database().owner.query("SELECT id FROM agent.task WHERE run_id = $1", [runId]);
    return rows.length;
  }
});
