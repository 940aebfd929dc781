import { encodeId, newId } from "@sba/platform/ids";
import { pubsub } from "@sba/platform/pubsub";
import { reader } from "@sba/platform/reader";
import { eventually } from "@sba/testkit/eventually";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { REVOKED_TOPIC } from "../principal/revocation.ts";
import { schema } from "../schema.ts";
import { givenMember, givenTenant } from "../testing.ts";
import { isOriginAllowed, setAllowedOrigins } from "./origins.ts";

useDatabase();

const SET = `mutation ($origins: [String!]!) { setAllowedOrigins(input: { origins: $origins }) { id allowedOrigins } }`;
const ME = `{ me { tenant { allowedOrigins } } }`;
const anOrigin = (): string => `https://${newId()}.example`;

describe("the origins that a tenant allows", () => {
  it("are set as a whole, audited and announced, and known of while any tenant allows them", async () => {
    const [mine, other] = [await givenTenant(), await givenTenant()];
    const [one, two] = [anOrigin(), anOrigin()];
    const heard: unknown[] = [];
    const leave = await pubsub().subscribe(REVOKED_TOPIC, (payload) => heard.push(JSON.parse(payload ?? "null")));
    expect((await expectData(schema, mine.owner, SET, { origins: [two, one, two] })).setAllowedOrigins).toEqual({
      id: encodeId("Tenant", mine.tenantId),
      allowedOrigins: [one, two].toSorted(),
    });
    expect((await expectData(schema, mine.owner, ME)).me.tenant.allowedOrigins).toEqual([one, two].toSorted());
    await eventually(() => expect(heard).toContainEqual({ tenantId: mine.tenantId }));
    await setAllowedOrigins(mine.owner, [one, two]);
    await setAllowedOrigins(other.owner, [one]);
    const whose = (origin: string) =>
      Promise.all([
        isOriginAllowed(origin, undefined),
        isOriginAllowed(origin, { tenantId: mine.tenantId }),
        isOriginAllowed(origin, { tenantId: other.tenantId }),
      ]);
    expect([await whose(one), await whose(two)]).toEqual([
      [true, true, true],
      [true, true, false],
    ]);
    await setAllowedOrigins(mine.owner, []);
    expect([await whose(one), await whose(two)]).toEqual([
      [true, false, true],
      [false, false, false],
    ]);
    await setAllowedOrigins(other.owner, []);
    expect(await whose(one)).toEqual([false, false, false]);
    const audited = await reader(mine.owner).auditEntry.findMany({
      where: { action: "identity.tenant.originsSet" },
      orderBy: { id: "asc" },
    });
    expect(audited.map(({ details }) => details)).toEqual([
      { added: [one, two].toSorted(), removed: [] },
      { added: [], removed: [one, two].toSorted() },
    ]);
    await leave();
  });

  it("are counted right when tenants change the same ones at once", async () => {
    const tenants = await Promise.all(Array.from({ length: 4 }, () => givenTenant()));
    const origins = Array.from({ length: 6 }, anOrigin);
    await Promise.all(tenants.map(({ owner }, i) => setAllowedOrigins(owner, i % 2 ? origins : origins.toReversed())));
    await Promise.all(
      tenants.slice(1).map(({ owner }, i) => setAllowedOrigins(owner, i % 2 ? origins.slice(0, 1) : [])),
    );
    const known = await reader(tenants[0]!.owner).knownOrigin.findMany({ where: { origin: { in: origins } } });
    expect(Object.fromEntries(known.map(({ origin, tenants: count }) => [origin, count]))).toEqual(
      Object.fromEntries(origins.map((origin, i) => [origin, i === 0 ? 2 : 1])),
    );
  });

  it.each([
    "https://app.example.com/",
    "https://app.example.com/path",
    "https://APP.example.com",
    "https://*.example.com",
    "https://user@app.example.com",
    "https://app.example.com:443",
    "http://app.example.com",
    "ftp://app.example.com",
    "app.example.com",
    "null",
    "*",
    "",
    `https://${"a".repeat(300)}.com`,
  ])("are refused when one is %s", async (origin) => {
    const { owner } = await givenTenant();
    expect(await expectRefusal(schema, owner, SET, { origins: [anOrigin(), origin] })).toMatchObject({
      code: "BAD_USER_INPUT",
      reason: "IDENTITY_ORIGIN_INVALID",
      details: { origins: [origin] },
    });
  });

  it("may be on the developer's own machine, and are the owner's to set, not too many", async () => {
    const tenant = await givenTenant();
    const local = ["http://127.0.0.1:5173", "http://[::1]:8080", "http://localhost:3000"];
    expect((await expectData(schema, tenant.owner, SET, { origins: local })).setAllowedOrigins.allowedOrigins).toEqual(
      local,
    );
    expect(
      await expectRefusal(schema, tenant.owner, SET, { origins: Array.from({ length: 51 }, anOrigin) }),
    ).toMatchObject({
      reason: "IDENTITY_ORIGINS_TOO_MANY",
    });
    const { caller } = await givenMember("admin", tenant);
    expect(await expectRefusal(schema, caller, SET, { origins: [] })).toMatchObject({ code: "FORBIDDEN" });
  });
});
