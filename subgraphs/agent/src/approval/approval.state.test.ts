import { describe, expect, it } from "vitest";
import { escalatedRoles, isOpen, lapseOf, objectionTo, statusAfter, APPROVAL_STATUSES } from "./approval.state.ts";

const rules = {
  quorum: 1,
  approverRoles: [],
  approverIds: [],
  allowRequester: false,
  requestedBy: "requester",
  toldBy: ["teller"],
};
const person = (principalId: string, ...roles: string[]) => ({ principalId, principalKind: "USER", roles });
const program = (principalId: string, ...roles: string[]) => ({ principalId, principalKind: "API_KEY", roles });

describe("an approval", () => {
  it("can be changed while it is pending, and never after", () => {
    expect(APPROVAL_STATUSES.filter(isOpen)).toEqual(["PENDING"]);
  });

  it("is for any person when the policy names nobody", () => {
    expect(objectionTo(rules, person("a"))).toBeUndefined();
    expect(objectionTo(rules, program("a", "owner"))).toBe("notApprover");
  });

  it("is for the people of the named roles, and for the named principals whatever they are", () => {
    const named = { ...rules, approverRoles: ["admin"], approverIds: ["a", "key"] };
    expect(objectionTo(named, person("a"))).toBeUndefined();
    expect(objectionTo(named, program("key"))).toBeUndefined();
    expect(objectionTo(named, person("b", "operator", "admin"))).toBeUndefined();
    expect(objectionTo(named, person("b", "owner"))).toBe("notApprover");
    expect(objectionTo(named, program("other", "admin"))).toBe("notApprover");
  });

  it("is not for who asked, an approver or not, unless the policy allows it; and then only as an approver", () => {
    const named = { ...rules, approverIds: ["requester"] };
    expect(objectionTo(rules, person("requester"))).toBe("requester");
    expect(objectionTo(named, person("requester"))).toBe("requester");
    expect(objectionTo({ ...named, allowRequester: true }, person("requester"))).toBeUndefined();
    expect(objectionTo(rules, person("teller"))).toBe("requester");
    expect(objectionTo({ ...rules, allowRequester: true }, person("teller"))).toBeUndefined();
    const ofAdmins = { ...rules, approverRoles: ["admin"], allowRequester: true };
    expect(objectionTo(ofAdmins, person("requester", "operator"))).toBe("notApprover");
  });

  it("is approved by as many as its quorum, and denied by one", () => {
    expect(statusAfter("APPROVED", { approvals: 1, quorum: 2 })).toBe("PENDING");
    expect(statusAfter("APPROVED", { approvals: 2, quorum: 2 })).toBe("APPROVED");
    expect(statusAfter("DENIED", { approvals: 2, quorum: 3 })).toBe("DENIED");
  });

  it("is escalated at its first deadline and ends at the second", () => {
    const at = (second: number) => new Date(second * 1_000);
    const waiting = { expiresAt: at(10), escalatedAt: null };
    expect(lapseOf(waiting, at(9))).toBeUndefined();
    expect(lapseOf(waiting, at(10))).toBe("escalate");
    expect(lapseOf({ expiresAt: at(20), escalatedAt: at(10) }, at(19))).toBeUndefined();
    expect(lapseOf({ expiresAt: at(20), escalatedAt: at(10) }, at(20))).toBe("expire");
    expect(lapseOf({ expiresAt: null, escalatedAt: null }, at(99))).toBeUndefined();
  });

  it("is for owners and admins as well once it is escalated, and for no fewer than before", () => {
    expect(escalatedRoles({ ...rules, approverRoles: ["operator", "admin"] })).toEqual(["operator", "admin", "owner"]);
    expect(escalatedRoles({ ...rules, approverIds: ["a"] })).toEqual(["owner", "admin"]);
    expect(escalatedRoles(rules)).toEqual([]);
  });
});
