import { setMemberRoles, setMemberStatus } from "@sba/identity/index";
import { givenMember, givenTenant, type GivenTenant } from "@sba/identity/testing";
import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { internalHeaders } from "@sba/platform/internal-token";
import { signLink, useSecretKey } from "@sba/platform/secrets";
import { startSubgraphServer, type RunningServer } from "@sba/platform/server";
import { aColleagueOf } from "@sba/testkit/fixtures";
import { expectData } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { usePublicUrl } from "@sba/platform/public-url";
import { schema } from "../schema.ts";
import { driveRun } from "../testing.ts";
import type { Approval } from "./approval.ts";
import { decideApprovalRoute, showApprovalRoute } from "./decision.route.ts";
import { decisionUrl, signForm } from "./link.ts";
import { setApprovalPolicy } from "./policy.ts";
import { aRunThatAsks, auditOfApproval, changesOf, decide, reread } from "./testing.ts";

const database = useDatabase();
useSecretKey("a-secret-key-that-only-tests-know");

let server: RunningServer;
let headers: Record<string, string>;
beforeAll(async () => {
  const routes = [showApprovalRoute, decideApprovalRoute];
  server = await startSubgraphServer({ name: "agent", schema, routes }, { host: "127.0.0.1", port: 0 });
  usePublicUrl(server.url);
  headers = internalHeaders({ caller: undefined, internal: false, requestId: "test" });
});
afterAll(async () => {
  usePublicUrl(undefined);
  await server.close();
});

interface Page {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  /** Of its form. */
  readonly token: string | undefined;
}

async function toPage(response: Response): Promise<Page> {
  const text = await response.text();
  const token = /name="token" value="([^"]+)"/.exec(text)?.[1];
  return { status: response.status, text, headers: response.headers, token };
}

const open = async (url: string, method = "GET") => toPage(await fetch(url, { method, headers }));

async function submit(url: string, fields: Record<string, string>, type?: string): Promise<Page> {
  const body = new URLSearchParams(fields).toString();
  const contentType = type ?? "application/x-www-form-urlencoded";
  return toPage(await fetch(url, { method: "POST", body, headers: { ...headers, "content-type": contentType } }));
}

interface Asked {
  readonly tenant: GivenTenant;
  readonly admin: Caller;
  readonly runId: string;
  readonly approval: Approval;
  /** The admin's link. */
  readonly url: string;
}

async function anAskedAdmin(prompt?: string): Promise<Asked> {
  const tenant = await givenTenant();
  const { caller: admin } = await givenMember("admin", tenant);
  const asked = await aRunThatAsks(tenant.owner, prompt);
  return { tenant, admin, ...asked, url: decisionUrl(admin, asked.approval.id, 900) };
}

describe("a link to an approval", () => {
  it("is given to who may decide it, for themselves, and to nobody else", async () => {
    const { tenant, admin, approval } = await anAskedAdmin();
    const source = `query ($id: ID!) { approval(id: $id) { mayDecide decisionUrl(expiresInSeconds: 60) } }`;
    const variables = { id: encodeId("Approval", approval.id) };
    const { approval: forAdmin } = await expectData(schema, admin, source, variables);
    expect(forAdmin.mayDecide).toBe(true);
    expect(forAdmin.decisionUrl).toMatch(new RegExp(`^${server.url}/approvals/`));
    expect((await open(forAdmin.decisionUrl)).status).toBe(200);
    const { approval: forRequester } = await expectData(schema, tenant.owner, source, variables);
    expect(forRequester).toEqual({ mayDecide: false, decisionUrl: null });
  });

  it("opens a page that says what is asked, and decides nothing however often a scanner opens it", async () => {
    const { approval, url } = await anAskedAdmin();
    for (const method of ["GET", "HEAD", "GET"]) expect((await open(url, method)).status).toBe(200);
    const { text } = await open(`${url}?decision=APPROVED`);
    expect(text).toContain("<em>task.create</em>");
    expect(text).toContain("renew the lease of the office");
    expect(text).toContain("Mo Owner");
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED"]);
  });

  it("opens a page for people: named, labelled, without scripts, told to nobody else and kept nowhere", async () => {
    const { url } = await anAskedAdmin();
    const { text, headers: sent } = await open(url);
    expect(text).toMatch(/^<!doctype html>\s*<html lang="en">/);
    expect(text).toMatch(/<title>[^<]+<\/title>/);
    expect(text).toContain('<label for="reason">');
    expect(text).toContain("<main>");
    expect(text).not.toMatch(/<script|\son\w+=|https?:\/\//i);
    expect(Object.fromEntries(sent)).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    });
    const policy = sent.get("content-security-policy");
    expect(policy).toMatch(/default-src 'none'/);
    expect(policy).toMatch(/form-action 'self'/);
    expect(policy).toMatch(/frame-ancestors 'none'/);
    expect(policy).not.toContain("unsafe-inline");
  });

  it("shows what others wrote as text, never as a part of the page", async () => {
    const { url } = await anAskedAdmin(`Create a task to "><script>alert(1)</script><img src=x onerror=alert(1)>`);
    const { text } = await open(url);
    expect(text).not.toMatch(/<script|<img/);
    expect(text).toContain("&lt;script&gt;");
  });

  it("decides once, by its page's form, as the approver that it was made for", async () => {
    const { tenant, admin, runId, approval, url } = await anAskedAdmin();
    const { token } = await open(url);
    const fields = { token: token!, decision: "APPROVED", reason: " by mail " };
    const decided = await submit(url, fields);
    expect(decided).toMatchObject({ status: 200, text: expect.stringContaining("You approved") as string });
    expect(await reread(admin, approval.id)).toMatchObject({ status: "APPROVED" });
    const again = await submit(url, { ...fields, decision: "DENIED" });
    expect(again).toMatchObject({ status: 409, text: expect.stringContaining("It is APPROVED.") as string });
    expect(await auditOfApproval(database().owner, encodeId("Approval", approval.id))).toMatchObject([
      { action: "agent.approval.decided", principal_id: admin.principalId },
    ]);
    const late = await open(url);
    expect(late.token).toBeUndefined();
    expect(late.text).toContain("It is APPROVED.");
    expect(await driveRun(tenant.owner, runId)).toMatchObject({ status: "COMPLETED" });
  });

  it("denies with a reason that the agent is told", async () => {
    const { tenant, runId, url } = await anAskedAdmin();
    const { token } = await open(url);
    expect((await submit(url, { token: token!, decision: "DENIED", reason: "not this year" })).text).toContain(
      "You denied",
    );
    expect((await driveRun(tenant.owner, runId)).output).toContain("not this year");
  });

  it("says when more approvals are needed", async () => {
    const tenant = await givenTenant();
    const { caller: admin } = await givenMember("admin", tenant);
    await setApprovalPolicy(tenant.owner, { tool: "task.create", quorum: 2, allowRequester: false });
    const { approval } = await aRunThatAsks(tenant.owner);
    const url = decisionUrl(admin, approval.id, 900);
    const { token } = await open(url);
    expect((await submit(url, { token: token!, decision: "APPROVED" })).text).toContain("More approvals are needed");
    expect((await open(url)).text).toContain("<dd>1 of 2</dd>");
  });

  it("decides what its page showed: what was edited since is to be read again", async () => {
    const tenant = await givenTenant();
    const { caller: admin } = await givenMember("admin", tenant);
    await setApprovalPolicy(tenant.owner, { tool: "task.create", quorum: 2, allowRequester: false });
    const { approval } = await aRunThatAsks(tenant.owner);
    const url = decisionUrl(admin, approval.id, 900);
    const { token } = await open(url);
    await decide(aColleagueOf(tenant.owner), approval, "APPROVED", { editedParams: { title: "Something else" } });
    expect((await submit(url, { token: token!, decision: "APPROVED" })).status).toBe(409);
    const { token: fresh, text } = await open(url);
    expect(text).toContain("Something else");
    expect((await submit(url, { token: fresh!, decision: "APPROVED" })).status).toBe(200);
  });

  it("lets its approver do what they may do when it is used, not when it was made", async () => {
    const { tenant, admin, approval, url } = await anAskedAdmin();
    const { token } = await open(url);
    const fields = { token: token!, decision: "APPROVED" };
    await setMemberRoles(tenant.owner, { userId: admin.principalId, roles: ["viewer"] });
    expect((await submit(url, fields)).status).toBe(403);
    await setMemberStatus(tenant.owner, admin.principalId, "REMOVED");
    for (const page of [await open(url), await submit(url, fields)])
      expect(page).toMatchObject({ status: 403, text: expect.stringContaining("not valid") as string });
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED"]);
  });

  it("is nothing to who asked: they see it and get no form, and a form of their own is refused", async () => {
    const { tenant, approval } = await anAskedAdmin();
    const url = decisionUrl(tenant.owner, approval.id, 900);
    const page = await open(url);
    expect(page.token).toBeUndefined();
    expect(page.text).toContain("Who asks for an approval may not decide it.");
    const { tenantId, principalId } = tenant.owner;
    const { id: approvalId, fingerprint, version } = approval;
    const token = signForm({ tenantId, principalId, approvalId, fingerprint, version });
    expect((await submit(url, { token, decision: "APPROVED" })).status).toBe(403);
  });

  it("is nothing to who had told the run what to do", async () => {
    const { admin, runId, url } = await anAskedAdmin();
    await database().owner.query("UPDATE agent.run SET told_by = ARRAY[$2]::uuid[] WHERE id = $1", [
      runId,
      admin.principalId,
    ]);
    const page = await open(url);
    expect(page.token).toBeUndefined();
    expect(page.text).toContain("Who asks for an approval may not decide it.");
  });

  it("decides nothing without the token of its own form", async () => {
    const { admin, approval, url } = await anAskedAdmin();
    const other = await anAskedAdmin();
    const { token: foreign } = await open(other.url);
    const linkToken = url.split("/").at(-1)!;
    for (const fields of [{}, { token: "" }, { token: "x" }, { token: linkToken }, { token: foreign! }]) {
      const page = await submit(url, { decision: "APPROVED", ...fields });
      expect([400, 403]).toContain(page.status);
    }
    const { token } = await open(url);
    expect((await submit(url, { token: token!, decision: "MAYBE" })).status).toBe(400);
    expect((await submit(url, { token: token!, decision: "APPROVED", reason: "\0" })).status).toBe(400);
    expect((await submit(url, { token: token!, decision: "APPROVED", reason: "x".repeat(40_000) })).status).toBe(413);
    expect((await submit(url, { token: token!, decision: "APPROVED" }, "text/plain")).status).toBe(400);
    expect(await reread(admin, approval.id)).toMatchObject({ status: "PENDING" });
  });

  it("is nothing when it has expired, was changed, or was made for something else", async () => {
    const { admin, approval, url } = await anAskedAdmin();
    const inAMinute = new Date(Date.now() + 60_000);
    const payload = { tenantId: admin.tenantId, approvalId: approval.id, principalId: admin.principalId };
    const links = [
      decisionUrl(admin, approval.id, -1),
      `${url.slice(0, -4)}AAAA`,
      `${server.url}/approvals/nonsense`,
      `${server.url}/approvals/${signLink("artifact", payload, inAMinute)}`,
      `${server.url}/approvals/${signLink("approval", { ...payload, principalId: "'; DROP" }, inAMinute)}`,
    ];
    for (const link of links) expect(await open(link)).toMatchObject({ status: 403, token: undefined });
    const elsewhere = decisionUrl({ ...admin, tenantId: (await givenTenant()).tenantId }, approval.id, 60);
    expect((await open(elsewhere)).status).toBe(403);
  });
});
