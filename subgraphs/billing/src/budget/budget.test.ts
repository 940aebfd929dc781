import { describe, expect, it } from "vitest";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { recordUsage } from "../usage/record.ts";
import { schema } from "../schema.ts";
import { listBudgets, removeBudget, setBudget, type SetBudgetInput } from "./budget.ts";
import { periodAt, remainingOf } from "./budget.state.ts";
import { reserveSlice, settleSlice } from "./slice.ts";

useDatabase();

const BUDGETS = `query Budgets { budgets { id scope { kind id } period limit { amountMicros currency } reserved { amountMicros } spent { amountMicros } remaining { amountMicros } } }`;
const SET_BUDGET = `mutation SetBudget($input: SetBudgetInput!) { setBudget(input: $input) { id limit { amountMicros currency } } }`;
const REMOVE_BUDGET = `mutation ($id: ID!) { removeBudget(input: { budgetId: $id }) }`;

const tenantMonth: SetBudgetInput = { scope: "TENANT", period: "MONTH", limitMicros: 1_000n };
const aRun = () => ({ runId: newId(), agentId: newId(), agentKey: "support", spentMicros: 0n, wantMicros: 300n });
const listed = async (caller: Caller) => (await expectData(schema, caller, BUDGETS)).budgets;

describe("setBudget", () => {
  it("sets one budget for each scope and period, and is the same when it is repeated", async () => {
    const caller = aCaller();
    const input = { scope: "TENANT", period: "MONTH", limitMicros: "5000000" };
    const first = await expectData(schema, caller, SET_BUDGET, { input });
    expect(first.setBudget.limit).toEqual({ amountMicros: "5000000", currency: "USD" });
    expect(await expectData(schema, caller, SET_BUDGET, { input })).toEqual(first);
    const changed = await expectData(schema, caller, SET_BUDGET, { input: { ...input, limitMicros: "7" } });
    expect(changed.setBudget).toEqual({ id: first.setBudget.id, limit: { amountMicros: "7", currency: "USD" } });
    expect(await listed(caller)).toEqual([
      {
        id: first.setBudget.id,
        scope: { kind: "TENANT", id: encodeId("Tenant", caller.tenantId) },
        period: "MONTH",
        limit: { amountMicros: "7", currency: "USD" },
        reserved: { amountMicros: "0" },
        spent: { amountMicros: "0" },
        remaining: { amountMicros: "7" },
      },
    ]);
  });

  it("makes one budget of many that are set at once", async () => {
    const caller = aCaller();
    const ids = await Promise.all(
      [1n, 2n, 3n, 4n].map((limitMicros) => setBudget(caller, { ...tenantMonth, limitMicros })),
    );
    expect(new Set(ids).size).toBe(1);
  });

  it("is audited with what it was before, unless it changes nothing", async () => {
    const caller = aCaller();
    const id = await setBudget(caller, tenantMonth);
    await setBudget(caller, tenantMonth);
    await setBudget(caller, { ...tenantMonth, limitMicros: 5n });
    await removeBudget(caller, id);
    const entries = await reader(caller).auditEntry.findMany({ orderBy: { id: "asc" } });
    expect(entries.map(({ action, target, details }) => ({ action, target, details }))).toMatchObject([
      { action: "billing.budget.set", target: encodeId("Budget", id), details: { limitMicros: "1000", before: null } },
      { action: "billing.budget.set", details: { scope: "TENANT", period: "MONTH", limitMicros: "5", before: "1000" } },
      { action: "billing.budget.removed", target: encodeId("Budget", id) },
    ]);
  });

  it("is for an agent by its id or key, for one run, and for each run", async () => {
    const caller = aCaller();
    const [agent, run] = [encodeId("Agent", newId()), encodeId("Run", newId())];
    for (const input of [
      { scope: "AGENT", scopeId: agent, period: "DAY" },
      { scope: "AGENT", scopeId: "handbook", period: "RUN" },
      { scope: "RUN", scopeId: run, period: "RUN" },
      { scope: "RUN", period: "RUN" },
      { scope: "TENANT", scopeId: encodeId("Tenant", caller.tenantId), period: "DAY" },
    ])
      await expectData(schema, caller, SET_BUDGET, { input: { ...input, limitMicros: "9" } });
    const shown = (await listed(caller)).map(({ scope, period }: { scope: object; period: string }) => ({
      ...scope,
      period,
    }));
    expect(shown).toHaveLength(5);
    expect(shown).toEqual(
      expect.arrayContaining([
        { kind: "TENANT", id: encodeId("Tenant", caller.tenantId), period: "DAY" },
        { kind: "AGENT", id: agent, period: "DAY" },
        { kind: "AGENT", id: "handbook", period: "RUN" },
        { kind: "RUN", id: run, period: "RUN" },
        { kind: "RUN", id: null, period: "RUN" },
      ]),
    );
  });

  it("refuses a scope that does not fit, another tenant, and a limit out of range", async () => {
    const caller = aCaller();
    const refused = async (input: object) =>
      (await expectRefusal(schema, caller, SET_BUDGET, { input: { limitMicros: "1", period: "DAY", ...input } }))[
        "reason"
      ];
    const scopeInvalid = "BILLING_BUDGET_SCOPE_INVALID";
    expect(await refused({ scope: "TENANT", scopeId: encodeId("Tenant", newId()) })).toBe(scopeInvalid);
    expect(await refused({ scope: "AGENT" })).toBe(scopeInvalid);
    expect(await refused({ scope: "AGENT", scopeId: encodeId("Run", newId()) })).toBe(scopeInvalid);
    expect(await refused({ scope: "RUN" })).toBe(scopeInvalid);
    expect(await refused({ scope: "RUN", scopeId: "handbook", period: "RUN" })).toBe(scopeInvalid);
    expect(await refused({ scope: "TENANT", limitMicros: "-1" })).toBe("INPUT_INVALID");
    expect(await refused({ scope: "TENANT", limitMicros: "1000000000000001" })).toBe("BILLING_BUDGET_LIMIT_INVALID");
    expect(await listBudgets(caller)).toEqual([]);
  });

  it("refuses more budgets than a run can look at", async () => {
    const caller = aCaller();
    const agent = (index: number): SetBudgetInput => ({
      scope: "AGENT",
      scopeId: `agent-${index}`,
      period: "DAY",
      limitMicros: 1n,
    });
    const set = await Promise.allSettled(Array.from({ length: 102 }, (_, index) => setBudget(caller, agent(index))));
    expect(set.filter(({ status }) => status === "fulfilled")).toHaveLength(100);
    await expect(setBudget(caller, agent(200))).rejects.toMatchObject({ code: "BILLING_BUDGETS_TOO_MANY" });
    expect(await listBudgets(caller)).toHaveLength(100);
  });

  it("takes budget:write, and seeing takes budget:read", async () => {
    const caller = aCaller();
    const input = { scope: "TENANT", period: "DAY", limitMicros: "1" };
    const reading = aColleagueOf(caller, ["budget:read", "usage:read"]);
    const writing = aColleagueOf(caller, ["budget:write"]);
    expect(await expectRefusal(schema, reading, SET_BUDGET, { input })).toMatchObject({ code: "FORBIDDEN" });
    const id = encodeId("Budget", await setBudget(caller, tenantMonth));
    expect(await expectRefusal(schema, reading, REMOVE_BUDGET, { id })).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectRefusal(schema, writing, BUDGETS)).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectRefusal(schema, undefined, BUDGETS)).toMatchObject({ code: "UNAUTHENTICATED" });
    expect(await listed(reading)).toHaveLength(1);
  });
});

describe("budgets", () => {
  it("show what runs hold as reserved, what they spent of it as spent, and the rest", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantMonth);
    const run = aRun();
    await withTenant(caller, (tx) => reserveSlice(tx, caller, run));
    await withTenant(caller, async (tx) => settleSlice(tx, caller, { runId: run.runId, spentMicros: 120n }));
    expect(await listed(caller)).toMatchObject([
      { reserved: { amountMicros: "180" }, spent: { amountMicros: "120" }, remaining: { amountMicros: "700" } },
    ]);
  });

  it("never show less than nothing as remaining", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantMonth);
    await withTenant(caller, (tx) => reserveSlice(tx, caller, aRun()));
    await setBudget(caller, { ...tenantMonth, limitMicros: 100n });
    expect(await listed(caller)).toMatchObject([
      { limit: { amountMicros: "100" }, reserved: { amountMicros: "300" }, remaining: { amountMicros: "0" } },
    ]);
  });

  it("show of one run's budget what the run has cost", async () => {
    const caller = aCaller();
    const run = aRun();
    await setBudget(caller, { scope: "RUN", scopeId: encodeId("Run", run.runId), period: "RUN", limitMicros: 5_000n });
    await withTenant(caller, async (tx) => {
      await recordUsage(tx, caller, { key: "k", runId: run.runId, lines: [{ meter: "run.started", quantity: 1n }] });
      await reserveSlice(tx, caller, { ...run, spentMicros: 1_000n });
    });
    expect(await listed(caller)).toMatchObject([
      { spent: { amountMicros: "1000" }, reserved: { amountMicros: "300" }, remaining: { amountMicros: "3700" } },
    ]);
  });

  it("are read in one statement, however many there are", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantMonth);
    await setBudget(caller, { ...tenantMonth, period: "DAY" });
    const { result, statements } = await countStatements(() => listed(caller));
    expect(result).toHaveLength(2);
    expect(statements).toHaveLength(1);
  });

  it("are found as entities by their id, by whoever may see them", async () => {
    const caller = aCaller();
    const id = encodeId("Budget", await setBudget(caller, tenantMonth));
    const ENTITY = `query ($b: [_Any!]!) { _entities(representations: $b) { ... on Budget { id period } } }`;
    const b = [{ __typename: "Budget", id }];
    expect(await expectData(schema, caller, ENTITY, { b })).toEqual({ _entities: [{ id, period: "MONTH" }] });
    expect(await expectRefusal(schema, aCaller(), ENTITY, { b })).toMatchObject({ code: "NOT_FOUND" });
    expect(await expectRefusal(schema, aColleagueOf(caller, []), ENTITY, { b })).toMatchObject({ code: "FORBIDDEN" });
  });

  it("of another tenant are neither seen, changed nor removed", async () => {
    const [caller, stranger] = [aCaller(), aCaller()];
    const id = await setBudget(caller, tenantMonth);
    expect(await listBudgets(stranger)).toEqual([]);
    expect(await setBudget(stranger, { ...tenantMonth, limitMicros: 1n })).not.toBe(id);
    await expect(removeBudget(stranger, id)).rejects.toMatchObject({ code: "BILLING_BUDGET_NOT_FOUND" });
    expect(await listBudgets(caller)).toMatchObject([{ id, limitMicros: 1_000n }]);
  });

  it("are gone when they are removed, once", async () => {
    const caller = aCaller();
    const id = encodeId("Budget", await setBudget(caller, tenantMonth));
    expect(await expectData(schema, caller, REMOVE_BUDGET, { id })).toEqual({ removeBudget: id });
    expect(await listBudgets(caller)).toEqual([]);
    expect(await expectRefusal(schema, caller, REMOVE_BUDGET, { id })).toMatchObject({
      code: "NOT_FOUND",
      reason: "BILLING_BUDGET_NOT_FOUND",
    });
  });
});

describe("periods", () => {
  it("are days and months of UTC, also at their borders, in leap years and at the turn of the year", () => {
    const bounds = (period: "DAY" | "MONTH", at: string) => {
      const { startsAt, endsAt } = periodAt(period, new Date(at))!;
      return [startsAt.toISOString(), endsAt.toISOString()];
    };
    expect(bounds("DAY", "2026-11-21T23:59:59.999Z")).toEqual(["2026-11-21T00:00:00.000Z", "2026-11-22T00:00:00.000Z"]);
    expect(bounds("DAY", "2026-11-22T00:00:00Z")[0]).toBe("2026-11-22T00:00:00.000Z");
    expect(bounds("DAY", "2028-02-29T05:00:00+05:30")[0]).toBe("2028-02-28T00:00:00.000Z");
    expect(bounds("MONTH", "2026-12-31T23:00:00Z")).toEqual(["2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"]);
    expect(periodAt("RUN", new Date())).toBeNull();
  });

  it("leave what is left, or nothing", () => {
    expect(remainingOf(10n, 3n, 4n)).toBe(3n);
    expect(remainingOf(10n, 6n, 5n)).toBe(0n);
  });
});
