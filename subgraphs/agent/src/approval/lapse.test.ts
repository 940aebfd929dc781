import { givenMember, givenTenant } from "@sba/identity/testing";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { driveRun, journalOf } from "../testing.ts";
import { lapseApprovals } from "./lapse.ts";
import { setApprovalPolicy } from "./policy.ts";
import { anApproval, aRunThatAsks, auditOfApproval, changesOf, decide, letTimePass, reread } from "./testing.ts";

const database = useDatabase();
const HOUR = { expiresAfterSeconds: 3_600 };

async function aTenantInAHurry(approverRoles: string[]) {
  const tenant = await givenTenant();
  const policy = { tool: "task.create", quorum: 1, allowRequester: false, approverRoles, ...HOUR };
  await setApprovalPolicy(tenant.owner, policy);
  const { caller: operator } = await givenMember("operator", tenant);
  return { tenant, operator };
}

describe("an approval that nobody decides", () => {
  it("waits for its deadline, and for ever without one", async () => {
    const caller = aCaller();
    const approval = await anApproval(caller, HOUR);
    const seconds = (approval.expiresAt!.getTime() - approval.createdAt.getTime()) / 1_000;
    expect(seconds).toBe(3_600);
    const forEver = await anApproval(caller);
    await database().owner.query(
      "UPDATE agent.approval SET created_at = created_at - interval '1 year' WHERE id = $1",
      [forEver.id],
    );
    await lapseApprovals();
    for (const { id } of [approval, forEver]) expect(await reread(caller, id)).toMatchObject({ status: "PENDING" });
  });

  it("is given to owners and admins as well, once, with a deadline of their own", async () => {
    const { tenant, operator } = await aTenantInAHurry(["operator"]);
    const { caller: admin } = await givenMember("admin", tenant);
    const { approval } = await aRunThatAsks(operator);
    await expect(decide(admin, approval, "APPROVED")).rejects.toMatchObject({ code: "AGENT_APPROVAL_NOT_APPROVER" });
    await letTimePass(database().owner, approval);
    await lapseApprovals();
    const escalated = await reread(operator, approval.id);
    expect(escalated).toMatchObject({ status: "PENDING", version: 1, approverRoles: ["operator", "owner", "admin"] });
    expect(escalated.expiresAt!.getTime() - escalated.escalatedAt!.getTime()).toBe(3_600_000);
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "ESCALATED"]);
    // What was read before the escalation is still what is to be decided.
    await decide(admin, approval, "APPROVED");
    expect(
      (await auditOfApproval(database().owner, encodeId("Approval", approval.id))).map(({ action }) => action),
    ).toEqual(["agent.approval.escalated", "agent.approval.decided"]);
  });

  it("can still be decided by its first approvers between its deadline and its escalation", async () => {
    const approval = await anApproval(aCaller(), HOUR);
    await letTimePass(database().owner, approval);
    await decide(aCaller({ tenantId: approval.tenantId }), approval, "APPROVED");
    await lapseApprovals();
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "DECIDED"]);
  });

  it("expires after that: a denial that the agent is told, with its reason", async () => {
    const { operator } = await aTenantInAHurry(["operator"]);
    const { runId, approval } = await aRunThatAsks(operator);
    const { owner } = database();
    await letTimePass(owner, approval);
    await lapseApprovals();
    await letTimePass(owner, approval);
    expect(await driveRun(operator, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    await lapseApprovals();
    expect(await reread(operator, approval.id)).toMatchObject({ status: "EXPIRED", version: 2 });
    const run = await driveRun(operator, runId);
    expect(run).toMatchObject({ status: "COMPLETED" });
    expect(run.output).toContain("expired");
    const journal = await journalOf(operator, runId);
    expect(journal.find(({ type }) => type === "agent.run.approvalDecided")).toMatchObject({
      payload: { approval: { status: "EXPIRED" }, decidedBy: null, reason: "expired" },
    });
    expect(journal.find(({ type }) => type === "agent.run.toolResulted")).toMatchObject({
      payload: { toolCall: { success: false } },
    });
    expect(await changesOf(owner, approval)).toEqual(["REQUESTED", "ESCALATED", "EXPIRED"]);
    await expect(decide(aColleagueOf(operator), approval, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_ALREADY_DECIDED",
      details: { status: "EXPIRED", version: 2 },
    });
  });

  it("cannot be approved after its last deadline, though nobody has looked yet", async () => {
    const approval = await anApproval(aCaller(), HOUR);
    const { owner } = database();
    await letTimePass(owner, approval);
    await lapseApprovals();
    await letTimePass(owner, approval);
    await expect(decide(aCaller({ tenantId: approval.tenantId }), approval, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_ALREADY_DECIDED",
      details: { status: "EXPIRED" },
    });
  });

  it("lapses once when several workers look at the same time", async () => {
    const approvals = await Promise.all(Array.from({ length: 20 }, () => anApproval(aCaller(), HOUR)));
    const { owner } = database();
    for (const change of ["ESCALATED", "EXPIRED"]) {
      for (const approval of approvals) await letTimePass(owner, approval);
      await Promise.all([lapseApprovals(), lapseApprovals(), lapseApprovals()]);
      for (const approval of approvals) expect((await changesOf(owner, approval)).at(-1)).toBe(change);
    }
    for (const approval of approvals) {
      expect(await changesOf(owner, approval)).toEqual(["REQUESTED", "ESCALATED", "EXPIRED"]);
      expect(await auditOfApproval(owner, encodeId("Approval", approval.id))).toHaveLength(2);
    }
  });
});
