import { givenTenant, type GivenTenant } from "@sba/identity/testing";
import { encodeId, newId } from "@sba/platform/ids";
import { aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeEach, describe, expect, it } from "vitest";
import { expectSoundRuns } from "../run/testing.ts";
import { driveRun } from "../testing.ts";
import { findDecisions } from "./approval.ts";
import { setApprovalPolicy } from "./policy.ts";
import { anApproval, aRunThatAsks, auditOfApproval, changesOf, decide, reread, type WaitingRun } from "./testing.ts";

const database = useDatabase({ poolSize: 8 });
const AT_ONCE = 8;

let tenant: GivenTenant;
beforeEach(async () => {
  tenant = await givenTenant({ planKey: "enterprise" });
});

async function waitingRuns(count = AT_ONCE): Promise<WaitingRun[]> {
  const waiting: WaitingRun[] = [];
  for (let nth = 0; nth < count; nth++) waiting.push(await aRunThatAsks(tenant.owner));
  return waiting;
}

/** In how many transactions these approvals were last written. */
const transactionsOf = async (waiting: readonly WaitingRun[]): Promise<number> => {
  const { rows } = await database().owner.query<{ n: number }>(
    "SELECT count(DISTINCT xmin::text)::int AS n FROM agent.approval WHERE id = ANY($1)",
    [waiting.map(({ approval }) => approval.id)],
  );
  return rows[0]?.n ?? 0;
};

const outcomesOf = async (decisions: readonly Promise<unknown>[]): Promise<string[]> => {
  const settled = await Promise.allSettled(decisions);
  return settled.map((each) =>
    each.status === "fulfilled" ? "decided" : String((each.reason as { code?: string }).code ?? each.reason),
  );
};

const statusesOf = async (waiting: readonly WaitingRun[]): Promise<string[]> => {
  const approvals = await Promise.all(waiting.map(({ approval }) => reread(tenant.owner, approval.id)));
  return approvals.map(({ status }) => status);
};

describe("decisions of one moment", () => {
  it("are one transaction and two round trips, each audited and told for itself", async () => {
    const waiting = await waitingRuns();
    const approvers = waiting.map(() => aColleagueOf(tenant.owner));
    const decideAll = (): Promise<unknown> =>
      Promise.all(waiting.map(({ approval }, nth) => decide(approvers[nth]!, approval, "APPROVED")));
    const { trips } = await countStatements(decideAll);
    expect(trips).toBe(2);
    expect(await transactionsOf(waiting)).toBe(1);
    for (const [nth, { approval }] of waiting.entries()) {
      const audited = await auditOfApproval(database().owner, encodeId("Approval", approval.id));
      expect(audited.map((entry) => entry.principal_id)).toEqual([approvers[nth]!.principalId]);
      expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "DECIDED"]);
      expect(await findDecisions(tenant.owner, [approval.id])).toMatchObject([
        { decidedBy: approvers[nth]!.principalId, fingerprint: approval.fingerprint },
      ]);
    }
    const runs = await Promise.all(waiting.map(({ runId }) => driveRun(tenant.owner, runId)));
    expect(runs.map(({ status }) => status)).toEqual(waiting.map(() => "COMPLETED"));
    await expectSoundRuns(database(), tenant.owner);
  });

  it("are refused one by one", async () => {
    const waiting = await waitingRuns(4);
    const [gone, stale, own, fine] = waiting.map(({ approval }) => approval);
    const approver = aColleagueOf(tenant.owner);
    const decisions = [
      decide(approver, { ...gone!, id: newId() }, "APPROVED"),
      decide(approver, { ...stale!, fingerprint: "of something else" }, "APPROVED"),
      decide(tenant.owner, own!, "APPROVED"),
      decide(approver, fine!, "DENIED"),
    ];
    expect(await outcomesOf(decisions)).toEqual([
      "AGENT_APPROVAL_NOT_FOUND",
      "AGENT_APPROVAL_CHANGED",
      "AGENT_APPROVAL_BY_REQUESTER",
      "decided",
    ]);
    expect(await statusesOf(waiting)).toEqual(["PENDING", "PENDING", "PENDING", "DENIED"]);
  });

  it("count one after the other when they are about the same approval", async () => {
    await setApprovalPolicy(tenant.owner, { tool: "task.create", quorum: 2, allowRequester: false });
    const [{ approval, runId }] = (await waitingRuns(1)) as [WaitingRun];
    const approvers = [1, 2, 3].map(() => aColleagueOf(tenant.owner));
    const outcomes = await outcomesOf(approvers.map((by) => decide(by, approval, "APPROVED")));
    expect(outcomes.toSorted()).toEqual(["AGENT_APPROVAL_ALREADY_DECIDED", "decided", "decided"]);
    expect(await findDecisions(tenant.owner, [approval.id])).toHaveLength(2);
    expect(await driveRun(tenant.owner, runId)).toMatchObject({ status: "COMPLETED" });
  });

  it("are each made once by key, however often they are asked for", async () => {
    const waiting = await waitingRuns(3);
    const approver = aColleagueOf(tenant.owner);
    const ask = (): Promise<string>[] =>
      waiting.map(({ approval }, nth) => decide(approver, approval, "APPROVED", { idempotencyKey: `key ${nth}` }));
    await Promise.all([...ask(), ...ask()]);
    await Promise.all(ask());
    const again = decide(approver, waiting[0]!.approval, "DENIED", { idempotencyKey: "key 0" });
    await expect(again).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
    const ids = waiting.map(({ approval }) => approval.id);
    expect(await findDecisions(tenant.owner, ids)).toHaveLength(3);
  });

  it("do not fail because a key among them was used for something else", async () => {
    const waiting = await waitingRuns(3);
    const approver = aColleagueOf(tenant.owner);
    await decide(approver, waiting[0]!.approval, "APPROVED", { idempotencyKey: "used" });
    const decisions = [
      decide(approver, waiting[1]!.approval, "APPROVED", { idempotencyKey: "used" }),
      decide(approver, waiting[2]!.approval, "APPROVED", { idempotencyKey: "fresh" }),
      decide(approver, { ...waiting[1]!.approval, id: newId() }, "APPROVED", { idempotencyKey: "used" }),
    ];
    expect(await outcomesOf(decisions)).toEqual(["IDEMPOTENCY_KEY_REUSED", "decided", "IDEMPOTENCY_KEY_REUSED"]);
    expect(await statusesOf(waiting)).toEqual(["APPROVED", "PENDING", "APPROVED"]);
  });

  it("do not wait for a run among them that somebody holds", async () => {
    const waiting = await waitingRuns(3);
    const [held] = waiting as [WaitingRun];
    const approver = aColleagueOf(tenant.owner);
    const holder = database().owner;
    await holder.query("BEGIN");
    await holder.query("SELECT FROM agent.run WHERE id = $1 FOR UPDATE", [held.runId]);
    const decisions = waiting.map(({ approval }) => decide(approver, approval, "APPROVED"));
    try {
      await Promise.all(decisions.slice(1));
      expect(await statusesOf(waiting)).toEqual(["PENDING", "APPROVED", "APPROVED"]);
    } finally {
      await holder.query("COMMIT");
    }
    await decisions[0];
    expect(await statusesOf(waiting)).toEqual(["APPROVED", "APPROVED", "APPROVED"]);
  });

  it("are made beside those that no run waits for, and those that edit", async () => {
    const [{ approval }, edited] = (await waitingRuns(2)) as [WaitingRun, WaitingRun];
    const subject = await anApproval(tenant.owner);
    const approver = aColleagueOf(tenant.owner);
    await Promise.all([
      decide(approver, approval, "APPROVED"),
      decide(approver, subject, "APPROVED"),
      decide(approver, edited.approval, "APPROVED", { editedParams: { title: "Something else" } }),
    ]);
    expect(
      await Promise.all([approval, subject, edited.approval].map(({ id }) => reread(tenant.owner, id))),
    ).toMatchObject([
      { status: "APPROVED" },
      { status: "APPROVED" },
      { status: "APPROVED", params: { title: "Something else" } },
    ]);
  });
});
