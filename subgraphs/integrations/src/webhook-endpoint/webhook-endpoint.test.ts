import { encodeId, newId } from "@sba/platform/ids";
import type { Caller } from "@sba/platform/caller";
import { useSecretKey } from "@sba/platform/secrets";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { schema } from "../schema.ts";
import { callTool } from "../tool-call/run-tool-call.ts";
import { webhookSend } from "../tools/webhook-send.ts";
import { makeSecret } from "./signature.ts";
import { answer, breakOff, useSink } from "./sink.testing.ts";
import { createWebhookEndpoint } from "./webhook-endpoint.ts";

const database = useDatabase();
const sink = useSink();
useSecretKey("a-secret-key-that-only-tests-know");
const { signal } = new AbortController();

const CREATE = `mutation ($input: CreateWebhookEndpointInput!) {
  createWebhookEndpoint(input: $input) { secret webhookEndpoint { id name url honoursIdempotencyKeys createdAt } } }`;
const DELETE = "mutation ($input: DeleteWebhookEndpointInput!) { deleteWebhookEndpoint(input: $input) }";
const LIST = `query ($first: Int = 20, $after: String) {
  webhookEndpoints(first: $first, after: $after) { edges { cursor node { id name } } pageInfo { hasNextPage } } }`;

interface Created {
  readonly createWebhookEndpoint: { readonly secret: string; readonly webhookEndpoint: { readonly id: string } };
}
interface Listed {
  readonly webhookEndpoints: {
    readonly edges: { readonly cursor: string; readonly node: { readonly name: string } }[];
    readonly pageInfo: { readonly hasNextPage: boolean };
  };
}

const anInput = (given: object = {}) => ({ name: "orders", url: sink.url("/orders"), ...given });
const create = (caller: Caller, given?: object) =>
  expectData(schema, caller, CREATE, { input: anInput(given) }) as unknown as Promise<Created>;
const refuse = (caller: Caller, given: object) => expectRefusal(schema, caller, CREATE, { input: anInput(given) });
const names = async (caller: Caller) =>
  ((await expectData(schema, caller, LIST)) as unknown as Listed).webhookEndpoints.edges.map(({ node }) => node.name);

describe("webhook endpoints", () => {
  it("are made with a secret that is shown once and stored sealed", async () => {
    const caller = aCaller();
    const { secret, webhookEndpoint } = (await create(caller)).createWebhookEndpoint;
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(webhookEndpoint).toMatchObject({ name: "orders", url: sink.url("/orders"), honoursIdempotencyKeys: false });
    const { rows } = await database().owner.query(
      "SELECT row_to_json(e)::text AS row FROM integrations.webhook_endpoint e WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect((rows[0] as { row: string }).row).not.toContain(secret.slice(6));
  });

  it("take a secret that the receiver has already", async () => {
    const secret = makeSecret();
    expect((await create(aCaller(), { secret })).createWebhookEndpoint.secret).toBe(secret);
  });

  it("are the same for the same idempotency key, with the same secret", async () => {
    const caller = aCaller();
    const [first, again] = [
      await create(caller, { idempotencyKey: "k" }),
      await create(caller, { idempotencyKey: "k" }),
    ];
    expect(again).toEqual(first);
    expect(await refuse(caller, { idempotencyKey: "k", name: "other" })).toMatchObject({
      reason: "IDEMPOTENCY_KEY_REUSED",
    });
    expect(await names(caller)).toEqual(["orders"]);
  });

  it("have a name of their own in the tenant", async () => {
    const caller = aCaller();
    await create(caller);
    expect(await refuse(caller, {})).toMatchObject({
      code: "CONFLICT",
      reason: "INTEGRATIONS_WEBHOOK_ENDPOINT_NAME_TAKEN",
    });
    await create(aCaller());
  });

  it.each([
    ["a name outside the form", { name: "Our orders" }, "INTEGRATIONS_WEBHOOK_ENDPOINT_INVALID"],
    ["a short secret", { secret: "whsec_c2hvcnQ=" }, "INTEGRATIONS_WEBHOOK_ENDPOINT_INVALID"],
    ["a secret of another form", { secret: "correct horse battery staple" }, "INTEGRATIONS_WEBHOOK_ENDPOINT_INVALID"],
    ["a host that nobody allowed", { url: "https://evil.example/" }, "EGRESS_REFUSED"],
    ["the address of the cloud's credentials", { url: "http://169.254.169.254/" }, "EGRESS_REFUSED"],
    ["no URL", { url: "orders" }, "EGRESS_REFUSED"],
    ["another scheme", { url: "file:///etc/passwd" }, "EGRESS_REFUSED"],
    ["credentials in the URL", { url: "http://me:secret@127.0.0.1/" }, "EGRESS_REFUSED"],
  ])("are refused with %s", async (_what, given, reason) => {
    const caller = aCaller();
    expect(await refuse(caller, given)).toMatchObject({ reason });
    expect(await names(caller)).toEqual([]);
  });

  it("are listed page by page, to their tenant only", async () => {
    const caller = aCaller();
    for (const name of ["a", "b", "c"]) await create(caller, { name });
    await create(aCaller(), { name: "theirs" });
    expect(await names(caller)).toEqual(["c", "b", "a"]);
    const { edges, pageInfo } = ((await expectData(schema, caller, LIST, { first: 2 })) as unknown as Listed)
      .webhookEndpoints;
    expect(pageInfo).toEqual({ hasNextPage: true });
    expect(await expectData(schema, caller, LIST, { first: 2, after: edges[1]!.cursor })).toMatchObject({
      webhookEndpoints: { edges: [{ node: { name: "a" } }], pageInfo: { hasNextPage: false } },
    });
  });

  it("are deleted once, by their tenant, and both are audited without the secret", async () => {
    const caller = aCaller();
    const { secret, webhookEndpoint } = (await create(caller)).createWebhookEndpoint;
    const input = { webhookEndpointId: webhookEndpoint.id };
    const refusal = { reason: "INTEGRATIONS_WEBHOOK_ENDPOINT_NOT_FOUND" };
    expect(await expectRefusal(schema, aCaller(), DELETE, { input })).toMatchObject(refusal);
    expect(await expectData(schema, caller, DELETE, { input })).toEqual({ deleteWebhookEndpoint: webhookEndpoint.id });
    expect(await expectRefusal(schema, caller, DELETE, { input })).toMatchObject(refusal);
    const { rows } = await database().owner.query(
      "SELECT action, details FROM platform.audit_entry WHERE target = $1 ORDER BY id",
      [webhookEndpoint.id],
    );
    expect(rows.map(({ action }: { action: string }) => action)).toEqual([
      "integrations.webhookEndpoint.created",
      "integrations.webhookEndpoint.deleted",
    ]);
    expect(JSON.stringify(rows)).not.toContain(secret.slice(6));
  });

  it("are made and deleted by who may manage integrations, and seen by who may read them", async () => {
    const caller = aCaller();
    const reader = aColleagueOf(caller, ["integration:read"]);
    const missing = { code: "FORBIDDEN" };
    expect(await refuse(reader, {})).toMatchObject(missing);
    const input = { webhookEndpointId: encodeId("WebhookEndpoint", newId()) };
    expect(await expectRefusal(schema, reader, DELETE, { input })).toMatchObject(missing);
    expect(await names(reader)).toEqual([]);
    expect(await expectRefusal(schema, aColleagueOf(caller, ["run:start"]), LIST)).toMatchObject(missing);
  });
});

describe("the tool webhook.send", () => {
  const send = (caller: Caller, id = newId()) =>
    callTool(caller, { id, tool: webhookSend, params: { endpoint: "orders", payload: { order: 42 } } }, { signal });

  async function aTenantWithEndpoint(honoursIdempotencyKeys: boolean): Promise<Caller> {
    const caller = aCaller();
    await createWebhookEndpoint(caller, { name: "orders", url: sink.url("/orders"), honoursIdempotencyKeys });
    return caller;
  }

  it("sends to the endpoint under the call's id", async () => {
    const caller = await aTenantWithEndpoint(false);
    const id = newId();
    expect(await send(caller, id)).toMatchObject({ status: "SUCCEEDED", result: { status: 200, response: "thanks" } });
    expect(sink.received).toMatchObject([
      { body: '{"order":42}', headers: { "idempotency-key": encodeId("ToolCall", id) } },
    ]);
  });

  it("may be repeated when the endpoint says so, and else not", async () => {
    const params = { endpoint: "orders", payload: {} };
    expect(await webhookSend.isRepeatable(await aTenantWithEndpoint(true), params)).toBe(true);
    expect(await webhookSend.isRepeatable(await aTenantWithEndpoint(false), params)).toBe(false);
    expect(await webhookSend.isRepeatable(aCaller(), params)).toBe(false);
  });

  it("does not say that it failed when nobody knows", async () => {
    const caller = await aTenantWithEndpoint(false);
    sink.script(breakOff);
    const id = newId();
    expect(await send(caller, id)).toMatchObject({ status: "UNKNOWN", success: null });
    expect(await send(caller, id)).toMatchObject({ status: "UNKNOWN" });
    expect(sink.received).toHaveLength(1);
  });

  it("fails when the endpoint refuses, does not exist or is another tenant's", async () => {
    const caller = await aTenantWithEndpoint(false);
    sink.script(answer(422));
    expect(await send(caller)).toMatchObject({ status: "FAILED", error: { code: "INTEGRATIONS_WEBHOOK_REFUSED" } });
    expect(await send(aCaller())).toMatchObject({
      status: "FAILED",
      error: { code: "INTEGRATIONS_WEBHOOK_ENDPOINT_NOT_FOUND" },
    });
    expect(sink.received).toHaveLength(1);
  });
});
