import { givenMember, givenTenant } from "@sba/identity/testing";
import { encodeCursor } from "@sba/platform/events";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { collectEvents, execute, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { approvalStream } from "../events.ts";
import { schema } from "../schema.ts";
import { driveRun } from "../testing.ts";
import { lapseApprovals } from "./lapse.ts";
import { setApprovalPolicy } from "./policy.ts";
import { anApproval, aRunThatAsks, decide, letTimePass } from "./testing.ts";

const database = useDatabase();

// As the contract has them, but for the names of principals, which identity joins.
const APPROVALS = `query Approvals($filter: ApprovalFilter, $first: Int = 20, $after: String) {
  approvals(filter: $filter, first: $first, after: $after) {
    edges { node {
      id status action params editableParams fingerprint version scope requires expiresAt createdAt
      costEstimate { amountMicros currency }
      policy { quorum approvers { role { key } user { id } } allowRequester }
      decisions { decision decidedBy { id } decidedAt reason }
      run { id prompt startedBy { id } }
      mayDecide reason decidedBy { id } escalatedAt supersededBy { id status }
    } } pageInfo { endCursor hasNextPage }
  }
}`;
const DECIDE = `mutation DecideApproval($approvalId: ID!, $decision: ApprovalDecision!, $fingerprint: String!, $expectedVersion: Int!, $reason: String, $editedParams: JSON, $idempotencyKey: String) {
  decideApproval(input: { approvalId: $approvalId, decision: $decision, fingerprint: $fingerprint, expectedVersion: $expectedVersion, reason: $reason, editedParams: $editedParams, idempotencyKey: $idempotencyKey }) {
    id status version fingerprint run { id status }
  }
}`;
const EVENTS = `subscription ApprovalEvents($after: Cursor) {
  approvalEvents(after: $after) { cursor seq at change gap { fromSeq toSeq } approval { id status action run { id } decisions { decision } policy { quorum approvers { role { key } } } supersededBy { id } } }
}`;

describe("the inbox", () => {
  it("shows what is asked, by whom, and what it takes, to whoever may read it", async () => {
    const { owner } = await givenTenant();
    const { runId, approval } = await aRunThatAsks(owner);
    const { approvals } = await expectData(schema, owner, APPROVALS, { filter: { runId: encodeId("Run", runId) } });
    expect(approvals.edges.map(({ node }: { node: unknown }) => node)).toMatchObject([
      {
        ...{
          id: encodeId("Approval", approval.id),
          status: "PENDING",
          action: "task.create",
          version: 1,
          decisions: [],
        },
        ...{ params: approval.params, editableParams: ["title"], requires: ["task:create"], mayDecide: false },
        policy: {
          quorum: 1,
          allowRequester: false,
          approvers: [{ role: { key: "owner" } }, { role: { key: "admin" } }, { role: { key: "operator" } }],
        },
        run: { id: encodeId("Run", runId), startedBy: { id: encodeId("Principal", owner.principalId) } },
        ...{ reason: null, decidedBy: null, escalatedAt: null, supersededBy: null },
      },
    ]);
    const stranger = await givenTenant();
    expect((await expectData(schema, stranger.owner, APPROVALS)).approvals.edges).toEqual([]);
    const partner = aColleagueOf(owner, ["usage:read"]);
    expect(await expectRefusal(schema, partner, APPROVALS)).toMatchObject({ code: "FORBIDDEN" });
  });

  it("does not show the run of an approval to who may not read runs", async () => {
    const { owner } = await givenTenant();
    const { approval } = await aRunThatAsks(owner);
    const RUNS = "{ approvals(first: 100) { edges { node { id run { prompt output } } } } }";
    const { data, errors } = await execute(schema, aColleagueOf(owner, ["approval:read"]), RUNS);
    expect(data.approvals.edges).toEqual([{ node: { id: encodeId("Approval", approval.id), run: null } }]);
    expect(errors).toMatchObject([{ extensions: { code: "FORBIDDEN", reason: "PERMISSION_MISSING" } }]);
  });

  it("is followed from where it was read without a hole", async () => {
    const { owner } = await givenTenant();
    const READ = "{ approvals { cursor edges { node { id } } } }";
    const nothing = (await expectData(schema, owner, READ)).approvals;
    expect(nothing.edges).toEqual([]);
    const first = await aRunThatAsks(owner);
    const read = (await expectData(schema, owner, READ)).approvals;
    const second = await aRunThatAsks(owner);
    const isLast = ({ approvalEvents }: { approvalEvents: { seq: number } }) => approvalEvents.seq === 2;
    const toldAfter = async (after: string) =>
      (await collectEvents(schema, owner, EVENTS, { after }, isLast)).map(
        ({ approvalEvents }) => approvalEvents.approval.id,
      );
    const [firstId, secondId] = [first, second].map(({ approval }) => encodeId("Approval", approval.id));
    expect(await toldAfter(read.cursor)).toEqual([secondId]);
    expect(await toldAfter(nothing.cursor)).toEqual([firstId, secondId]);
    await database().owner.query("DELETE FROM platform.event WHERE stream = $1 AND seq = 1", [
      approvalStream(owner.tenantId),
    ]);
    const [left] = await collectEvents(schema, owner, EVENTS, {}, isLast);
    expect(left.approvalEvents).toMatchObject({ seq: 2, gap: { fromSeq: 1, toSeq: 1 } });
  });

  it("says what the caller may decide, by the rules by which a decision is taken, and lists only that when asked", async () => {
    const tenant = await givenTenant();
    const { caller: admin } = await givenMember("admin", tenant);
    const { caller: operator } = await givenMember("operator", tenant);
    const { caller: viewer } = await givenMember("viewer", tenant);
    const set = (policy: object) =>
      setApprovalPolicy(tenant.owner, { tool: "task.create", quorum: 1, allowRequester: false, ...policy });
    const ask = async (policy: object) => {
      await set(policy);
      return (await aRunThatAsks(operator)).approval;
    };
    const approvals = {
      anybody: await ask({}),
      admins: await ask({ approverRoles: ["admin"] }),
      owner: await ask({ approverIds: [tenant.owner.principalId] }),
      own: await ask({ allowRequester: true, quorum: 2 }),
      decided: await ask({ quorum: 3 }),
      edited: await ask({ quorum: 3 }),
    };
    // Who approved what it was before may decide about what it is now.
    await decide(admin, approvals.edited, "APPROVED");
    await decide(tenant.owner, approvals.edited, "APPROVED", { editedParams: { title: "Something else" } });
    await decide(operator, approvals.own, "APPROVED");
    await decide(tenant.owner, approvals.decided, "DENIED");
    const names = new Map(Object.entries(approvals).map(([name, { id }]) => [encodeId("Approval", id), name]));
    const mayDecide = async (caller: typeof admin, filter?: object) => {
      const { approvals: shown } = await expectData(schema, caller, APPROVALS, { filter });
      return shown.edges.map(({ node }: { node: { id: string; mayDecide: boolean } }) => [
        names.get(node.id),
        node.mayDecide,
      ]);
    };
    const expected: [typeof admin, string[]][] = [
      [tenant.owner, ["anybody", "owner", "own"]],
      [admin, ["anybody", "admins", "own", "edited"]],
      [operator, []],
      [viewer, []],
    ];
    for (const [caller, decidable] of expected) {
      const all = await mayDecide(caller);
      expect(all).toHaveLength(6);
      expect(all.flatMap(([name, may]: [string, boolean]) => (may ? [name] : [])).toSorted()).toEqual(
        decidable.toSorted(),
      );
      expect((await mayDecide(caller, { mayDecide: true })).map(([name]: [string]) => name).toSorted()).toEqual(
        decidable.toSorted(),
      );
    }
  });

  it("is read as it was left by the caller's own decision", async () => {
    const caller = aCaller();
    const { runId, approval } = await aRunThatAsks(caller);
    const approver = aColleagueOf(caller);
    const { decideApproval } = await expectData(schema, approver, DECIDE, {
      ...{ approvalId: encodeId("Approval", approval.id), decision: "DENIED", reason: "no" },
      ...{ fingerprint: approval.fingerprint, expectedVersion: 1 },
    });
    expect(decideApproval).toMatchObject({ status: "DENIED", version: 2, run: { id: encodeId("Run", runId) } });
    const pending = await expectData(schema, approver, APPROVALS, { filter: { status: ["PENDING"] } });
    expect(pending.approvals.edges).toEqual([]);
    const { approvals } = await expectData(schema, approver, APPROVALS, { filter: { status: ["DENIED"] } });
    const by = { id: encodeId("Principal", approver.principalId) };
    expect(approvals.edges[0].node).toMatchObject({
      reason: "no",
      decidedBy: by,
      decisions: [{ decision: "DENIED", decidedBy: by }],
    });
  });

  it("refuses with a reason of its own who asked, who is no approver, and who comes late", async () => {
    const tenant = await givenTenant();
    const { caller: operator } = await givenMember("operator", tenant);
    const { caller: admin } = await givenMember("admin", tenant);
    await setApprovalPolicy(tenant.owner, {
      tool: "task.create",
      quorum: 1,
      allowRequester: false,
      approverRoles: ["admin"],
    });
    const { approval } = await aRunThatAsks(tenant.owner);
    const variables = {
      ...{ approvalId: encodeId("Approval", approval.id), decision: "APPROVED" },
      ...{ fingerprint: approval.fingerprint, expectedVersion: 1 },
    };
    const refusal = (caller: typeof operator) => expectRefusal(schema, caller, DECIDE, variables);
    expect(await refusal(tenant.owner)).toMatchObject({ code: "FORBIDDEN", reason: "AGENT_APPROVAL_BY_REQUESTER" });
    expect(await refusal(operator)).toMatchObject({ code: "FORBIDDEN", reason: "AGENT_APPROVAL_NOT_APPROVER" });
    await expectData(schema, admin, DECIDE, variables);
    expect(await refusal(admin)).toMatchObject({
      ...{ code: "CONFLICT", reason: "AGENT_APPROVAL_ALREADY_DECIDED" },
      details: { status: "APPROVED", version: 2 },
    });
  });
});

describe("approvalEvents", () => {
  it("tells every change in order, as it was then, and goes on after a cursor", async () => {
    const { owner } = await givenTenant();
    await setApprovalPolicy(owner, {
      ...{
        tool: "task.create",
        quorum: 2,
        allowRequester: false,
        approverRoles: ["operator"],
        expiresAfterSeconds: 3_600,
      },
    });
    const { runId, approval } = await aRunThatAsks(owner);
    for (const _ of ["ESCALATED", "EXPIRED"]) {
      await letTimePass(database().owner, approval);
      await lapseApprovals();
    }
    await driveRun(owner, runId);
    const other = await anApproval(owner, { quorum: 2 });
    await decide(aColleagueOf(owner), other, "APPROVED");
    await decide(aColleagueOf(owner), other, "APPROVED");
    const isLast = ({ approvalEvents }: { approvalEvents: { seq: number } }) => approvalEvents.seq === 6;
    const events = (await collectEvents(schema, owner, EVENTS, {}, isLast)).map(({ approvalEvents }) => approvalEvents);
    const changes = ["REQUESTED", "ESCALATED", "EXPIRED", "REQUESTED", "VOTED", "DECIDED"];
    expect(events.map(({ change }) => change)).toEqual(changes);
    expect(events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    const statuses = ["PENDING", "PENDING", "EXPIRED", "PENDING", "PENDING", "APPROVED"];
    expect(events.map(({ approval: shown }) => shown.status)).toEqual(statuses);
    expect(events.map(({ approval: shown }) => shown.decisions.length)).toEqual([0, 0, 0, 0, 1, 2]);
    expect(events.slice(0, 2).map(({ approval: shown }) => shown.policy.approvers.length)).toEqual([1, 3]);
    const after = encodeCursor(approvalStream(owner.tenantId), 4);
    const resumed = await collectEvents(schema, owner, EVENTS, { after }, isLast);
    expect(resumed.map(({ approvalEvents }) => approvalEvents)).toEqual(events.slice(4));
  });

  it("is live, and tells what superseded what", async () => {
    const caller = aCaller();
    const { runId, approval } = await aRunThatAsks(caller);
    const isLast = ({ approvalEvents }: { approvalEvents: { seq: number } }) => approvalEvents.seq === 4;
    const heard = collectEvents(schema, caller, EVENTS, {}, isLast);
    await decide(aColleagueOf(caller), approval, "APPROVED");
    await database().owner.query(`UPDATE integrations.tool_call SET params = '{"title":"Other"}' WHERE id = $1`, [
      approval.toolCallId,
    ]);
    await driveRun(caller, runId);
    const events = (await heard).map(({ approvalEvents }) => approvalEvents);
    expect(events.map(({ change }) => change)).toEqual(["REQUESTED", "DECIDED", "SUPERSEDED", "REQUESTED"]);
    expect(events[2].approval).toMatchObject({ status: "SUPERSEDED", supersededBy: { id: events[3].approval.id } });
  });
});
