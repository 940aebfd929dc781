import { describe, expect, it } from "vitest";
import { expectData } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { readEvents, streamOf } from "@sba/platform/events";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { listMembers } from "../membership/membership.ts";
import { schema } from "../schema.ts";
import { givenTenant, PASSWORD } from "../testing.ts";
import { provisionTenant, provisionTenantFor } from "./tenant.ts";

const database = useDatabase();

const owner = () => ({ email: `Olivia-${newId()}@Example.test`, displayName: "Olivia Owner", password: PASSWORD });
const draft = () => ({ email: `olivia-${newId()}@example.test`, displayName: "Olivia Owner", passwordHash: "hash" });

describe("provisioning a tenant", () => {
  it("makes the tenant, its owner and its plan, and announces it once", async () => {
    const given = owner();
    const { tenantId, ownerId, caller, created } = await provisionTenant({
      name: " Acme ",
      planKey: "team",
      owner: given,
    });
    expect(created).toBe(true);
    expect(await reader(caller).planSubscription.findMany()).toMatchObject([{ planKey: "team" }]);
    expect((await listMembers(caller, { first: 10 })).items).toMatchObject([
      { userId: ownerId, roles: ["owner"], status: "ACTIVE" },
    ]);
    const events = await readEvents(caller, streamOf("tenant", tenantId), { after: 0, first: 10 });
    expect(events).toMatchObject([
      { type: "identity.tenant.provisioned", payload: { tenantId, name: "Acme", ownerId } },
    ]);
    expect(await reader(caller).outbox.findMany()).toMatchObject([
      { name: "platform.event.announced", queue: "reactions" },
    ]);
    const stored = await reader(caller).user.findUniqueOrThrow({ where: { id: ownerId } });
    expect(stored).toMatchObject({ email: given.email.toLowerCase(), tenantIds: [tenantId] });
    expect(stored.passwordHash).not.toContain(PASSWORD);
  });

  it("changes nothing when it is repeated with the same id, also at the same time", async () => {
    const [person, input] = [draft(), { id: newId(), name: "Acme" }];
    const all = await Promise.all([1, 2, 3].map(() => provisionTenantFor(person, input)));
    expect(all.filter(({ created }) => created)).toHaveLength(1);
    expect(new Set(all.map(({ ownerId }) => ownerId)).size).toBe(1);
    expect(await provisionTenantFor(person, { ...input, name: "Other" })).toMatchObject({ created: false });
    await expect(provisionTenantFor(draft(), input)).rejects.toMatchObject({ code: "IDENTITY_TENANT_EXISTS" });
    expect(await reader({ tenantId: input.id }).tenant.findMany()).toMatchObject([{ name: "Acme" }]);
    expect(
      await readEvents({ tenantId: input.id }, streamOf("tenant", input.id), { after: 0, first: 10 }),
    ).toHaveLength(1);
  });

  it("gives a person who is known a second tenant, and leaves their name and password alone", async () => {
    const given = draft();
    const first = await provisionTenantFor(given, { name: "One" });
    const second = await provisionTenantFor(
      { ...given, displayName: "Impostor", passwordHash: "stolen" },
      { name: "Two" },
    );
    expect(second.ownerId).toBe(first.ownerId);
    expect(await reader(second.caller).user.findUniqueOrThrow({ where: { id: first.ownerId } })).toMatchObject({
      displayName: "Olivia Owner",
      passwordHash: "hash",
      tenantIds: [first.tenantId, second.tenantId],
    });
  });

  it("leaves nothing behind when a part of it is refused", async () => {
    const given = draft();
    await expect(provisionTenantFor(given, { name: "Acme", planKey: "gold" })).rejects.toMatchObject({
      code: "BILLING_PLAN_NOT_FOUND",
    });
    const { rows } = await database().owner.query("SELECT id FROM identity.user WHERE email = $1", [given.email]);
    expect(rows).toEqual([]);
  });

  it("refuses a tenant without a name, and an owner with a bad address or a short password, naming what is wrong", async () => {
    await expect(provisionTenant({ name: " ", owner: owner() })).rejects.toMatchObject({
      code: "IDENTITY_TENANT_INVALID",
    });
    const refused = provisionTenant({ name: "Acme", owner: { email: "nobody", displayName: "", password: "short" } });
    await expect(refused).rejects.toMatchObject({
      code: "IDENTITY_USER_INVALID",
      details: { issues: [/email/, /displayName/, /password/].map((part) => expect.stringMatching(part)) },
    });
    await expect(refused).rejects.toSatisfy((error: Error) => !JSON.stringify(error).includes('short"'));
  });
});

describe("a tenant", () => {
  const TENANT = `query ($tenants: [_Any!]!) { _entities(representations: $tenants) { ... on Tenant { id name } } }`;
  const of = (tenantId: string) => ({ __typename: "Tenant", id: encodeId("Tenant", tenantId) });

  it("is shown to its own callers and to nobody else", async () => {
    const [mine, other] = [await givenTenant({ name: "Mine" }), await givenTenant()];
    const { _entities } = await expectData(schema, mine.owner, TENANT, {
      tenants: [of(mine.tenantId), of(other.tenantId)],
    });
    expect(_entities).toEqual([{ id: encodeId("Tenant", mine.tenantId), name: "Mine" }, null]);
  });
});
