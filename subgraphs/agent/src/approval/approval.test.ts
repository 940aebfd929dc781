import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import type { Caller } from "@sba/platform/caller";
import { describe, expect, it } from "vitest";
import { createBuiltInAgents } from "../agent/agent.ts";
import { cancelRun, startRun } from "../run/run.ts";
import { driveRun, journalOf } from "../testing.ts";
import { decideApproval, findApprovalsOfRuns, listApprovals } from "./approval.ts";

const database = useDatabase();

async function aRunThatAsks(caller: Caller = aCaller()) {
  await createBuiltInAgents(caller);
  const runId = await startRun(caller, {
    agentKey: "assistant",
    prompt: "Create a task to renew the lease of the office",
  });
  const run = await driveRun(caller, runId);
  expect(run.status).toBe("AWAITING_APPROVAL");
  const [approval] = await findApprovalsOfRuns(caller, [runId]);
  return { caller, runId, approval: approval! };
}

function decisionOf(approval: { id: string; fingerprint: string; version: number }) {
  return { approvalId: approval.id, fingerprint: approval.fingerprint, expectedVersion: approval.version };
}

async function tasksOf(caller: Caller): Promise<{ title: string }[]> {
  const { rows } = await database().owner.query<{ title: string }>(
    "SELECT title FROM agent.task WHERE tenant_id = $1",
    [caller.tenantId],
  );
  return rows;
}

describe("an approval", () => {
  it("holds the run, nothing else, until it is given; then the call runs once", async () => {
    const { caller, runId, approval } = await aRunThatAsks();
    expect(approval).toMatchObject({ status: "PENDING", action: "task.create", version: 1 });
    expect(await tasksOf(caller)).toEqual([]);
    await decideApproval(caller, { ...decisionOf(approval), decision: "APPROVED", reason: "fine" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await tasksOf(caller)).toHaveLength(1);
    const types = (await journalOf(caller, runId)).map(({ type }) => type);
    expect(types.indexOf("agent.run.toolRequested")).toBeLessThan(types.indexOf("agent.run.approvalRequested"));
    expect(types.indexOf("agent.run.approvalDecided")).toBeLessThan(types.indexOf("agent.run.toolResulted"));
  });

  it("that is denied is a result the model sees, and the tool is not called", async () => {
    const { caller, runId, approval } = await aRunThatAsks();
    await decideApproval(caller, { ...decisionOf(approval), decision: "DENIED", reason: "not now" });
    const run = await driveRun(caller, runId);
    expect(run.status).toBe("COMPLETED");
    expect(await tasksOf(caller)).toEqual([]);
    const resulted = (await journalOf(caller, runId)).find(({ type }) => type === "agent.run.toolResulted");
    expect(resulted).toMatchObject({ payload: { toolCall: { name: "task.create", success: false } } });
  });

  it("is decided once, by one of two at the same time", async () => {
    const { caller, approval } = await aRunThatAsks();
    const decide = (decision: "APPROVED" | "DENIED") => decideApproval(caller, { ...decisionOf(approval), decision });
    const results = await Promise.allSettled([decide("APPROVED"), decide("DENIED"), decide("APPROVED")]);
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const result of results) {
      if (result.status === "rejected")
        expect(result.reason).toMatchObject({ code: "AGENT_APPROVAL_ALREADY_DECIDED", kind: "conflict" });
    }
  });

  it("refuses a decision about something else than what was read", async () => {
    const { caller, approval } = await aRunThatAsks();
    const decision = { ...decisionOf(approval), decision: "APPROVED" as const };
    await expect(decideApproval(caller, { ...decision, fingerprint: "x" })).rejects.toMatchObject({
      code: "AGENT_APPROVAL_CHANGED",
    });
    await expect(decideApproval(caller, { ...decision, expectedVersion: 7 })).rejects.toMatchObject({
      code: "AGENT_APPROVAL_CHANGED",
    });
  });

  it("runs the edited params, which the tool's schema must accept", async () => {
    const { caller, runId, approval } = await aRunThatAsks();
    const decision = { ...decisionOf(approval), decision: "APPROVED" as const };
    await expect(decideApproval(caller, { ...decision, editedParams: { title: 7 } })).rejects.toMatchObject({
      code: "AGENT_APPROVAL_PARAMS_INVALID",
    });
    await expect(decideApproval(caller, { ...decision, editedParams: { owner: "me" } })).rejects.toMatchObject({
      code: "AGENT_APPROVAL_PARAMS_INVALID",
    });
    await expect(
      decideApproval(caller, { ...decision, decision: "DENIED", editedParams: { title: "x" } }),
    ).rejects.toMatchObject({ code: "AGENT_APPROVAL_PARAMS_INVALID" });
    await decideApproval(caller, { ...decision, editedParams: { title: "Renew the office lease by June" } });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await tasksOf(caller)).toEqual([{ title: "Renew the office lease by June" }]);
    const [decided] = await findApprovalsOfRuns(caller, [runId]);
    expect(decided!.fingerprint).not.toBe(approval.fingerprint);
  });

  it("fails closed when the call is no longer what was approved", async () => {
    const { caller, runId, approval } = await aRunThatAsks();
    await decideApproval(caller, { ...decisionOf(approval), decision: "APPROVED" });
    await database().owner.query(
      `UPDATE integrations.tool_call SET params = '{"title":"Something else"}' WHERE id = $1`,
      [approval.toolCallId],
    );
    await driveRun(caller, runId);
    expect(await tasksOf(caller)).toEqual([]);
    const resulted = (await journalOf(caller, runId)).find(({ type }) => type === "agent.run.toolResulted");
    expect(resulted).toMatchObject({ payload: { toolCall: { success: false } } });
  });

  it("is cancelled with its run and cannot be decided then", async () => {
    const { caller, runId, approval } = await aRunThatAsks();
    await cancelRun(caller, { runId });
    await expect(decideApproval(caller, { ...decisionOf(approval), decision: "APPROVED" })).rejects.toMatchObject({
      code: "AGENT_APPROVAL_ALREADY_DECIDED",
    });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED" });
  });

  it("takes approval:decide, of the same tenant, and is audited with its fingerprint", async () => {
    const { caller, approval } = await aRunThatAsks();
    const decision = { ...decisionOf(approval), decision: "APPROVED" as const };
    const viewer = aCaller({ tenantId: caller.tenantId, permissions: ["approval:read"] });
    await expect(decideApproval(viewer, decision)).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    await expect(decideApproval(aCaller(), decision)).rejects.toMatchObject({ code: "AGENT_APPROVAL_NOT_FOUND" });
    await decideApproval(caller, { ...decision, idempotencyKey: "d1" });
    await decideApproval(caller, { ...decision, idempotencyKey: "d1" });
    const { rows } = await database().owner.query(
      "SELECT principal_id, details->>'previousFingerprint' AS fingerprint FROM platform.audit_entry WHERE tenant_id = $1 AND action = 'agent.approval.decided'",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ principal_id: caller.principalId, fingerprint: approval.fingerprint }]);
  });

  it("is listed in the tenant's inbox by status", async () => {
    const { caller, approval } = await aRunThatAsks();
    const pending = await listApprovals(caller, { first: 10 }, { status: ["PENDING"] });
    expect(pending.items.map(({ id }) => id)).toEqual([approval.id]);
    expect((await listApprovals(caller, { first: 10 }, { status: ["APPROVED"] })).items).toEqual([]);
    expect((await listApprovals(aCaller(), { first: 10 })).items).toEqual([]);
  });
});
