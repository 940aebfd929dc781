import { describe, expect, it } from "vitest";
import { aCaller } from "@sba/testkit/fixtures";
import { expectData } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId } from "@sba/platform/ids";
import { schema } from "../schema.ts";
import { getPlan, subscribeToPlan } from "./plan.ts";

useDatabase();

const TENANTS = `query ($tenants: [_Any!]!) { _entities(representations: $tenants) { ... on Tenant { id plan { key name } } } }`;
const representations = (...tenantIds: string[]) => ({
  tenants: tenantIds.map((id) => ({ __typename: "Tenant", id: encodeId("Tenant", id) })),
});
const subscribe = (caller: Caller, planKey: string) => withTenant(caller, (tx) => subscribeToPlan(tx, caller, planKey));

describe("a tenant's plan", () => {
  it("is the free one until it subscribes to another, and then the last one", async () => {
    const caller = aCaller();
    expect(await getPlan(caller)).toMatchObject({ key: "free" });
    await subscribe(caller, "team");
    await subscribe(caller, "enterprise");
    expect(await getPlan(caller)).toEqual({ key: "enterprise", name: "Enterprise", quotas: null });
  });

  it("is not one that we do not sell", async () => {
    const caller = aCaller();
    await expect(subscribe(caller, "gold")).rejects.toMatchObject({ code: "BILLING_PLAN_NOT_FOUND" });
    expect(await getPlan(caller)).toMatchObject({ key: "free" });
  });

  it("is shown on the tenant, read once however often the tenant appears", async () => {
    const caller = aCaller();
    await subscribe(caller, "team");
    const { result, statements } = await countStatements(() =>
      expectData(schema, caller, TENANTS, representations(caller.tenantId, caller.tenantId, caller.tenantId)),
    );
    expect(result._entities).toEqual(
      Array(3).fill({ id: encodeId("Tenant", caller.tenantId), plan: { key: "team", name: "Team" } }),
    );
    expect(statements).toHaveLength(1);
  });

  it("is not shown to another tenant", async () => {
    const caller = aCaller();
    await subscribe(caller, "team");
    const { _entities } = await expectData(schema, aCaller(), TENANTS, representations(caller.tenantId));
    expect(_entities[0].plan).toBeNull();
  });
});
