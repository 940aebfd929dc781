import { describe, expect, it } from "vitest";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId } from "@sba/platform/ids";
import { recordUsage } from "../usage/record.ts";
import { listBudgets, removeBudget, setBudget } from "./budget.ts";
import { hasBudgets, reserveSlice } from "./slice.ts";
import { aRun, exhausted, find, giveBack, NOON, reserve, settle, shown, tenantDay, type TestRun } from "./testing.ts";

useDatabase();

describe("a slice", () => {
  it("is taken of every budget above the run, and nothing is taken where one has too little", async () => {
    const caller = aCaller();
    const agentId = newId();
    await setBudget(caller, tenantDay(1_000n));
    await setBudget(caller, { ...tenantDay(5_000n), period: "MONTH" });
    await setBudget(caller, { ...tenantDay(400n), scope: "AGENT", scopeId: encodeId("Agent", agentId) });
    await setBudget(caller, { ...tenantDay(300n), scope: "AGENT", scopeId: "sales" });
    expect(await reserve(caller, aRun("support", agentId), 250n)).toEqual({
      leftMicros: 250n,
      endsAt: new Date("2026-11-22T00:00:00Z"),
    });
    expect(await reserve(caller, aRun("support", agentId), 250n)).toMatchObject({ leftMicros: 150n });
    await expect(reserve(caller, aRun("support", agentId), 250n)).rejects.toMatchObject({
      ...exhausted,
      details: { scope: "AGENT", period: "DAY", limitMicros: "400" },
    });
    expect(await shown(caller)).toEqual([
      { limitMicros: 1_000n, reservedMicros: 400n, spentMicros: 0n },
      { limitMicros: 5_000n, reservedMicros: 400n, spentMicros: 0n },
      { limitMicros: 400n, reservedMicros: 400n, spentMicros: 0n },
      { limitMicros: 300n, reservedMicros: 0n, spentMicros: 0n },
    ]);
  });

  it("is nothing, and costs one look, for a run that no budget is held for", async () => {
    const caller = aCaller();
    const { result, statements } = await countStatements(() => reserve(caller, aRun(), 100n));
    expect(result).toBeUndefined();
    // What the test before noted of a budget that is used up may still be on its way.
    expect(statements.filter((text) => !text.includes("alert_percent"))).toHaveLength(1);
    await setBudget(caller, { ...tenantDay(1n), scope: "AGENT", scopeId: "sales" });
    await setBudget(caller, { scope: "RUN", scopeId: encodeId("Run", newId()), period: "RUN", limitMicros: 1n });
    expect(await reserve(caller, aRun(), 100n)).toBeUndefined();
    expect(await find(caller, aRun())).toBeUndefined();
  });

  it("is smaller than was wanted when less is left, and refused when that is too little to be of use", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(100n));
    const [first, second] = [aRun(), aRun()];
    expect(await reserve(caller, first, 60n)).toMatchObject({ leftMicros: 60n });
    await expect(reserve(caller, second, 60n, { atLeastMicros: 41n })).rejects.toMatchObject(exhausted);
    expect(await reserve(caller, second, 60n, { atLeastMicros: 40n })).toMatchObject({ leftMicros: 40n });
    await expect(reserve(caller, aRun(), 1n)).rejects.toMatchObject(exhausted);
  });

  it("is more than enough only while a budget has plenty, and all that is left when that is not enough", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(1_000n));
    const grants: (bigint | undefined)[] = [];
    for (let run = 0; run < 6; run++)
      grants.push((await reserve(caller, aRun(), 200n, { enoughMicros: 150n, atLeastMicros: 10n }))?.leftMicros);
    expect(grants).toEqual([200n, 200n, 150n, 150n, 150n, 150n]);
    await expect(reserve(caller, aRun(), 200n, { enoughMicros: 150n })).rejects.toMatchObject(exhausted);
    const other = aCaller();
    await setBudget(other, tenantDay(100n));
    expect(await reserve(other, aRun(), 200n, { enoughMicros: 150n })).toMatchObject({ leftMicros: 100n });
  });

  it("is spent step by step, taken anew with what is left of it, and returned at the end", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(1_000n));
    const run = aRun();
    await reserve(caller, run, 300n);
    await settle(caller, run, 100n);
    await settle(caller, run, 150n);
    expect(await find(caller, run)).toMatchObject({ leftMicros: 50n });
    expect(await reserve(caller, run, 300n)).toMatchObject({ leftMicros: 300n });
    expect(await shown(caller)).toEqual([{ limitMicros: 1_000n, reservedMicros: 300n, spentMicros: 250n }]);
    await settle(caller, run, 1n);
    await giveBack(caller, run);
    await giveBack(caller, run);
    expect(await shown(caller)).toEqual([{ limitMicros: 1_000n, reservedMicros: 0n, spentMicros: 251n }]);
    expect(await find(caller, run)).toBeUndefined();
  });

  it("may be taken anew down to the last micro, what the run itself holds included", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(100n));
    const run = aRun();
    await reserve(caller, run, 100n);
    await settle(caller, run, 30n);
    expect(await reserve(caller, run, 500n)).toMatchObject({ leftMicros: 70n });
    await settle(caller, run, 70n);
    await expect(reserve(caller, run, 1n)).rejects.toMatchObject(exhausted);
    expect(await find(caller, run)).toMatchObject({ leftMicros: 0n });
    expect(await shown(caller)).toEqual([{ limitMicros: 100n, reservedMicros: 0n, spentMicros: 100n }]);
  });

  it("cannot be overspent", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(100n));
    const run = aRun();
    await reserve(caller, run, 10n);
    await expect(settle(caller, run, 11n)).rejects.toThrow("slice_spends_what_it_reserved");
    expect(await find(caller, run)).toMatchObject({ leftMicros: 10n });
  });

  it("is held against the life of the run by budgets of each run, of each of an agent, and of one", async () => {
    const caller = aCaller();
    const run = aRun();
    const rest = async () => (await reserve(caller, run, 10_000n))?.leftMicros;
    await setBudget(caller, { scope: "RUN", period: "RUN", limitMicros: 900n });
    expect(await reserve(caller, run, 500n)).toEqual({ leftMicros: 500n, endsAt: null });
    await settle(caller, run, 500n);
    expect(await rest()).toBe(400n);
    await setBudget(caller, { scope: "AGENT", scopeId: "support", period: "RUN", limitMicros: 800n });
    expect(await rest()).toBe(300n);
    await setBudget(caller, { scope: "TENANT", period: "RUN", limitMicros: 700n });
    expect(await rest()).toBe(200n);
    await setBudget(caller, { scope: "RUN", scopeId: encodeId("Run", run.runId), period: "RUN", limitMicros: 600n });
    expect(await rest()).toBe(100n);
    await settle(caller, run, 100n);
    await expect(rest()).rejects.toMatchObject({ ...exhausted, details: { scope: "RUN", limitMicros: "600" } });
    expect(await reserve(caller, aRun(), 10_000n)).toMatchObject({ leftMicros: 700n });
  });

  it("stays whole when the limit is lowered, which stops what comes next", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(1_000n));
    const run = aRun();
    await reserve(caller, run, 600n);
    await settle(caller, run, 200n);
    await setBudget(caller, tenantDay(100n));
    expect(await find(caller, run)).toMatchObject({ leftMicros: 400n });
    expect(await reserve(caller, run, 600n)).toMatchObject({ leftMicros: 400n });
    await settle(caller, run, 400n);
    await expect(reserve(caller, run, 1n)).rejects.toMatchObject(exhausted);
    await expect(reserve(caller, aRun(), 1n)).rejects.toMatchObject(exhausted);
    await giveBack(caller, run);
    await setBudget(caller, tenantDay(601n));
    expect(await reserve(caller, aRun(), 9n)).toMatchObject({ leftMicros: 1n });
  });

  it("is nothing of a budget that was removed, and what is left of it is returned without harm", async () => {
    const caller = aCaller();
    const removed = await setBudget(caller, tenantDay(100n));
    await setBudget(caller, { ...tenantDay(1_000n), period: "MONTH" });
    const run = aRun();
    await reserve(caller, run, 100n);
    await removeBudget(caller, removed);
    await settle(caller, run, 40n);
    expect(await reserve(caller, run, 500n)).toMatchObject({ leftMicros: 500n });
    await giveBack(caller, run);
    expect(await shown(caller)).toEqual([{ limitMicros: 1_000n, reservedMicros: 0n, spentMicros: 40n }]);
  });

  it("is not taken when the transaction fails", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(100n));
    const crash = withTenant(caller, async (tx) => {
      await reserveSlice(tx, caller, { ...aRun(), wantMicros: 100n });
      throw new Error("the worker died");
    });
    await expect(crash).rejects.toThrow("the worker died");
    expect(await shown(caller)).toEqual([{ limitMicros: 100n, reservedMicros: 0n, spentMicros: 0n }]);
    expect(await reserve(caller, aRun(), 100n)).toMatchObject({ leftMicros: 100n });
  });

  it("of another tenant is neither seen nor spent nor returned, and its budgets hold nothing back", async () => {
    const [caller, stranger] = [aCaller(), aCaller()];
    await setBudget(caller, tenantDay(100n));
    const run = aRun();
    await reserve(caller, run, 100n);
    expect(await find(stranger, run)).toBeUndefined();
    await settle(stranger, { ...run }, 50n);
    await giveBack(stranger, run);
    expect(await reserve(stranger, { ...run }, 7n)).toBeUndefined();
    expect(await find(caller, run)).toMatchObject({ leftMicros: 100n });
  });
});

describe("hasBudgets", () => {
  it("is asked once by many, and hears of a first budget within a moment", async () => {
    const [caller, stranger] = [aCaller(), aCaller()];
    const { result, statements } = await countStatements(() => Promise.all([hasBudgets(caller), hasBudgets(caller)]));
    expect(result).toEqual([false, false]);
    expect(statements).toHaveLength(1);
    await setBudget(caller, tenantDay(1n));
    await eventually(() => hasBudgets(caller));
    expect(await hasBudgets(stranger)).toBe(false);
  });
});

describe("a period", () => {
  const later = (run: TestRun, time: string): TestRun => ({ ...run, at: new Date(time) });

  it("begins anew at midnight of UTC, with the whole limit", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(100n));
    await reserve(caller, aRun(), 100n);
    await expect(reserve(caller, later(aRun(), "2026-11-21T23:59:59.999Z"), 1n)).rejects.toMatchObject(exhausted);
    expect(await reserve(caller, later(aRun(), "2026-11-22T00:00:00Z"), 500n)).toEqual({
      leftMicros: 100n,
      endsAt: new Date("2026-11-23T00:00:00Z"),
    });
    expect(await shown(caller, new Date("2026-11-22T08:00:00Z"))).toMatchObject([{ reservedMicros: 100n }]);
  });

  it("keeps what a run spent in it when the run takes anew in the next", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(100n));
    await setBudget(caller, { ...tenantDay(150n), period: "MONTH" });
    const run = aRun();
    await reserve(caller, run, 80n);
    await settle(caller, run, 70n);
    const tomorrow = later(run, "2026-11-22T01:00:00Z");
    expect(await reserve(caller, tomorrow, 90n)).toMatchObject({ leftMicros: 80n });
    const [day, month] = [
      expect.objectContaining({ limitMicros: 100n }),
      expect.objectContaining({ limitMicros: 150n }),
    ];
    expect(await shown(caller, NOON)).toEqual([day, month]);
    expect((await shown(caller, NOON))[0]).toMatchObject({ reservedMicros: 0n, spentMicros: 70n });
    expect((await shown(caller, tomorrow.at))[0]).toMatchObject({ reservedMicros: 80n, spentMicros: 0n });
    expect((await shown(caller, tomorrow.at))[1]).toMatchObject({ reservedMicros: 80n, spentMicros: 70n });
    await settle(caller, tomorrow, 80n);
    await expect(reserve(caller, tomorrow, 1n)).rejects.toMatchObject({ ...exhausted, details: { period: "MONTH" } });
    expect(await reserve(caller, later(tomorrow, "2026-12-01T00:00:00Z"), 100n)).toEqual({
      leftMicros: 100n,
      endsAt: new Date("2026-12-02T00:00:00Z"),
    });
  });

  it("begins with what runs used in it before the budget was set, of the right agent only, once", async () => {
    const caller = aCaller();
    const use = (agentKey: string, runId: string | undefined, time: string) =>
      withTenant(caller, (tx) =>
        recordUsage(tx, caller, {
          key: newId(),
          agentKey,
          ...(runId === undefined ? {} : { runId }),
          at: new Date(time),
          lines: [{ meter: "run.started", quantity: 1n }],
        }),
      );
    await use("support", newId(), "2026-11-20T23:00:00Z");
    await use("support", newId(), "2026-11-21T09:00:00Z");
    await use("sales", newId(), "2026-11-21T09:00:00Z");
    await use("support", undefined, "2026-11-21T09:00:00Z");
    const agentId = newId();
    await setBudget(caller, tenantDay(10_000n));
    await setBudget(caller, { ...tenantDay(10_000n), scope: "AGENT", scopeId: encodeId("Agent", agentId) });
    await setBudget(caller, { ...tenantDay(10_000n), scope: "AGENT", scopeId: "sales", period: "MONTH" });
    await use("support", newId(), "2026-11-21T12:00:01Z");
    await reserve(caller, aRun("support", agentId), 100n);
    const spent = (await listBudgets(caller, NOON)).map(({ scope, scopeId, spentMicros }) => [
      scope,
      scopeId,
      spentMicros,
    ]);
    expect(spent).toEqual(
      expect.arrayContaining([
        ["TENANT", "", 2_000n],
        ["AGENT", agentId, 1_000n],
        ["AGENT", "sales", 1_000n],
      ]),
    );
  });
});
