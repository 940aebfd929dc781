import { describe, expect, it } from "vitest";
import { aCaller, aColleagueOf, eventually } from "@sba/testkit/fixtures";
import { collectEvents } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import type { Caller } from "@sba/platform/caller";
import { readEvents } from "@sba/platform/events";
import { encodeId } from "@sba/platform/ids";
import { usageAlertStream } from "../events.ts";
import { schema } from "../schema.ts";
import { announceBudgetAlerts } from "./alert.ts";
import { removeBudget, setBudget } from "./budget.ts";
import { aRun, exhausted, giveBack, reserve, settle, tenantDay, type TestRun } from "./testing.ts";

const database = useDatabase();

const ALERTS = `subscription ($after: Cursor) { usageAlerts(after: $after) { cursor seq gap { fromSeq toSeq cause } percent periodStart limit { amountMicros } spent { amountMicros } budget { id period } } }`;

/** A run that spends this and ends. */
async function spend(caller: Caller, micros: bigint): Promise<TestRun> {
  const run = aRun();
  await reserve(caller, run, micros);
  await settle(caller, run, micros);
  await giveBack(caller, run);
  return run;
}

async function alerts(caller: Caller): Promise<number[]> {
  await announceBudgetAlerts();
  const events = await readEvents(caller, usageAlertStream(caller.tenantId), { after: 0, first: 100 });
  return events.map(({ payload }) => (payload as { percent: number }).percent);
}

describe("an alert", () => {
  it("is raised once when 80 and when 100 percent are spent, with what was spent then", async () => {
    const caller = aCaller();
    const id = await setBudget(caller, tenantDay(1_000n));
    await spend(caller, 799n);
    expect(await alerts(caller)).toEqual([]);
    await spend(caller, 1n);
    expect(await alerts(caller)).toEqual([80]);
    await spend(caller, 100n);
    expect(await alerts(caller)).toEqual([80]);
    await spend(caller, 100n);
    expect(await alerts(caller)).toEqual([80, 100]);
    const events = await readEvents(caller, usageAlertStream(caller.tenantId), { after: 0, first: 9 });
    const periodStart = "2026-11-21T00:00:00.000Z";
    expect(events.map(({ payload }) => payload)).toEqual([
      { budgetId: id, percent: 80, periodStart, limitMicros: "1000", spentMicros: "800" },
      { budgetId: id, percent: 100, periodStart, limitMicros: "1000", spentMicros: "1000" },
    ]);
  });

  it("is raised by a run that takes anew, before it ends", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(1_000n));
    const run = aRun();
    await reserve(caller, run, 850n);
    await settle(caller, run, 850n);
    await reserve(caller, run, 10n);
    expect(await alerts(caller)).toEqual([80]);
  });

  it("is raised when a run cannot reserve what it needs, although something is left", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(1_000n));
    await spend(caller, 900n);
    expect(await alerts(caller)).toEqual([80]);
    for (const _again of [1, 2])
      await expect(reserve(caller, aRun(), 500n, { atLeastMicros: 200n })).rejects.toMatchObject(exhausted);
    await eventually(async () => (await alerts(caller)).length === 2);
    expect(await alerts(caller)).toEqual([80, 100]);
  });

  it("is raised anew for another limit, and for another period", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(1_000n));
    await spend(caller, 800n);
    expect(await alerts(caller)).toEqual([80]);
    await setBudget(caller, tenantDay(10_000n));
    expect(await alerts(caller)).toEqual([80]);
    await setBudget(caller, tenantDay(900n));
    expect(await alerts(caller)).toEqual([80, 80]);
    const tomorrow = { ...aRun(), at: new Date("2026-11-22T09:00:00Z") };
    await reserve(caller, tomorrow, 900n);
    await settle(caller, tomorrow, 900n);
    await giveBack(caller, tomorrow);
    expect(await alerts(caller)).toEqual([80, 80, 100]);
  });

  it("is announced once, by however many processes", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(10n));
    await setBudget(caller, { ...tenantDay(10n), period: "MONTH" });
    await spend(caller, 10n);
    await Promise.all(Array.from({ length: 6 }, () => announceBudgetAlerts()));
    expect(await alerts(caller)).toEqual([100, 100]);
  });
});

describe("usageAlerts", () => {
  it("replays what was raised and goes on live, from any cursor, for the own tenant only", async () => {
    const caller = aCaller();
    const id = await setBudget(caller, tenantDay(10n));
    await spend(aCaller(), 10n);
    await spend(caller, 8n);
    await announceBudgetAlerts();
    const reader = aColleagueOf(caller, ["budget:read"]);
    const [first] = await collectEvents(schema, reader, ALERTS, {}, () => true);
    expect(first.usageAlerts).toMatchObject({
      seq: 1,
      gap: null,
      percent: 80,
      limit: { amountMicros: "10" },
      spent: { amountMicros: "8" },
      budget: { id: encodeId("Budget", id), period: "DAY" },
    });
    const live = collectEvents(schema, reader, ALERTS, { after: first.usageAlerts.cursor }, () => true);
    await spend(caller, 2n);
    await announceBudgetAlerts();
    expect((await live)[0].usageAlerts).toMatchObject({ seq: 2, percent: 100 });
    await removeBudget(caller, id);
    const [removed] = await collectEvents(schema, reader, ALERTS, {}, () => true);
    expect(removed.usageAlerts).toMatchObject({ seq: 1, budget: null });
  });

  it("say which of them the journal no longer has", async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(10n));
    for (const micros of [8n, 2n]) {
      await spend(caller, micros);
      await announceBudgetAlerts();
    }
    await database().owner.query("DELETE FROM platform.event WHERE stream = $1 AND seq = 1", [
      usageAlertStream(caller.tenantId),
    ]);
    const [left] = await collectEvents(schema, caller, ALERTS, {}, () => true);
    expect(left.usageAlerts).toMatchObject({ seq: 2, gap: { fromSeq: 1, toSeq: 1, cause: "RETENTION" } });
  });

  it("is refused without budget:read", async () => {
    await expect(collectEvents(schema, aCaller({ permissions: ["usage:read"] }), ALERTS)).rejects.toThrow(
      "A permission is missing.",
    );
  });
});
