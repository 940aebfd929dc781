import { describe, expect, it } from "vitest";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import type { MeteredLine } from "../meter/price-list.ts";
import { subscribeToPlan } from "../plan/plan.ts";
import { schema } from "../schema.ts";
import { recordUsage } from "../usage/record.ts";
import { admitRuns, listQuotas, readStartLimits, releaseRunSlot, setQuotaPolicy, takeRunSlot } from "./quota.ts";
import { end, exceeded, NOON, quotas, runsOnly, start, used } from "./testing.ts";
import { recountQuotaUse } from "./use.ts";

useDatabase();

const letIn = (caller: Caller) => withTenant(caller, (tx) => admitRuns(tx, caller));
const use = (caller: Caller, runId: string, lines: MeteredLine[], at = NOON) =>
  withTenant(caller, (tx) => recordUsage(tx, caller, { key: newId(), runId, lines, at }));
const tokens = (input: bigint, output: bigint): MeteredLine[] => [
  { meter: "model.inputTokens", quantity: input, model: "local" },
  { meter: "model.outputTokens", quantity: output, model: "local" },
];
const MANY_AT_ONCE_MS = 300_000;

describe("the quota of concurrent runs", () => {
  it("counts a run once, however often it is started and ended", async () => {
    const caller = aCaller();
    const runId = newId();
    expect(await Promise.all([start(caller, runId), start(caller, newId())])).toEqual([true, true]);
    expect(await start(caller, runId)).toBe(true);
    expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 2n });
    await Promise.all([end(caller, runId), end(caller, runId), end(caller, runId)]);
    await end(caller, newId());
    expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 1n });
  });

  it("is not used by a start, and not freed by an end, whose transaction fails", async () => {
    const caller = aCaller();
    const runId = newId();
    await start(caller, runId);
    const crash = async (work: Parameters<typeof withTenant>[1]) => {
      const died = withTenant(caller, async (tx) => {
        await work(tx);
        throw new Error("the worker died");
      });
      await expect(died).rejects.toThrow("the worker died");
    };
    await crash((tx) => takeRunSlot(tx, caller, { runId: newId(), quotas }));
    await crash((tx) => releaseRunSlot(tx, caller, { runId }));
    expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 1n });
    await end(caller, runId);
    expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 0n });
  });

  it("stops starts when a smaller plan has fewer, until enough runs have ended", async () => {
    const caller = aCaller();
    const runs = [newId(), newId(), newId()];
    for (const runId of runs) await start(caller, runId);
    await expect(start(caller, newId(), runsOnly(2))).rejects.toMatchObject(exceeded("CONCURRENT_RUNS"));
    await end(caller, runs[0]!);
    await expect(start(caller, newId(), runsOnly(2))).rejects.toMatchObject(exceeded("CONCURRENT_RUNS"));
    await end(caller, runs[1]!);
    expect(await start(caller, newId(), runsOnly(2))).toBe(true);
  });

  it("is of each tenant by itself, and another can free nothing of it", async () => {
    const [caller, stranger] = [aCaller(), aCaller()];
    const runs = [newId(), newId(), newId()];
    for (const runId of runs) await start(caller, runId);
    expect(await end(stranger, runs[0]!)).toBe(false);
    expect(await letIn(stranger)).toEqual([]);
    expect(await start(stranger)).toBe(true);
    await expect(start(caller)).rejects.toMatchObject(exceeded("CONCURRENT_RUNS"));
  });
});

describe("starts that wait for their turn", () => {
  it("are let in as runs end, the longest waiting first, and no more than there is room for", async () => {
    const caller = aCaller();
    await setQuotaPolicy(caller, "QUEUE");
    const plan = runsOnly(100);
    const runs = Array.from({ length: 104 }, () => newId());
    const began: boolean[] = [];
    for (const runId of runs) began.push(await start(caller, runId, plan));
    expect(began).toEqual([...Array<boolean>(100).fill(true), false, false, false, false]);
    expect(await letIn(caller)).toEqual([]);
    expect(await end(caller, runs[0]!)).toBe(true);
    expect(await letIn(caller)).toEqual([runs[100]]);
    expect(await end(caller, runs[101]!)).toBe(true); // gave up waiting
    expect(await letIn(caller)).toEqual([]);
    await Promise.all([end(caller, runs[1]!), end(caller, runs[2]!), end(caller, runs[100]!)]);
    expect((await Promise.all([letIn(caller), letIn(caller)])).flat().toSorted()).toEqual([runs[102], runs[103]]);
    expect(await end(caller, runs[3]!)).toBe(false);
    expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 98n });
  });

  it(
    "are all let in in the end, and never too many at once, whatever starts and ends meanwhile",
    { timeout: MANY_AT_ONCE_MS },
    async () => {
      const caller = aCaller();
      await setQuotaPolicy(caller, "QUEUE");
      const plan = runsOnly(100);
      const under = new Set<string>();
      let ended = 0;
      const live = async (runId: string): Promise<void> => {
        under.add(runId);
        expect(under.size).toBeLessThanOrEqual(100);
        await withTenant(caller, (tx) => tx.sql`SELECT 1`);
        under.delete(runId);
        await end(caller, runId);
        ended += 1;
        await Promise.all((await letIn(caller)).map(live));
      };
      const runs = Array.from({ length: 150 }, () => newId());
      await Promise.all(
        runs.map(async (runId) => {
          if (await start(caller, runId, plan)) await live(runId);
        }),
      );
      for (const runId of await letIn(caller)) await live(runId);
      expect(ended).toBe(150);
      expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 0n });
    },
  );

  it("are all let in by a plan without limits", async () => {
    const caller = aCaller();
    await setQuotaPolicy(caller, "QUEUE");
    const runs = [newId(), newId(), newId(), newId(), newId()];
    for (const runId of runs) await start(caller, runId);
    await withTenant(caller, (tx) => subscribeToPlan(tx, caller, "enterprise"));
    expect((await letIn(caller)).toSorted()).toEqual(runs.slice(3).toSorted());
  });
});

describe("the quotas of a month", () => {
  it("count tokens and tool calls of runs under way and ended alike, and refuse the next start", async () => {
    const caller = aCaller();
    const [ended, running] = [newId(), newId()];
    await start(caller, ended);
    await start(caller, running);
    await use(caller, ended, tokens(100n, 50n));
    await use(caller, ended, [{ meter: "tool.called", quantity: 1n }]);
    await use(caller, running, tokens(800n, 49n));
    expect(await used(caller)).toEqual({ TOKENS: 999n, TOOL_CALLS: 1n, CONCURRENT_RUNS: 2n });
    await end(caller, ended);
    expect(await used(caller)).toEqual({ TOKENS: 999n, TOOL_CALLS: 1n, CONCURRENT_RUNS: 1n });
    await start(caller);
    await use(caller, running, tokens(1n, 0n));
    await expect(start(caller)).rejects.toMatchObject(exceeded("TOKENS"));
    expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 2n });
  });

  it("refuse a start when the tool calls are used up", async () => {
    const caller = aCaller();
    const runId = newId();
    await start(caller, runId);
    await use(caller, runId, [{ meter: "tool.called", quantity: 10n }]);
    await end(caller, runId);
    await expect(start(caller)).rejects.toMatchObject(exceeded("TOOL_CALLS"));
  });

  it("begin anew with the month of UTC, and count of a run what it used in it", async () => {
    const caller = aCaller();
    const december = new Date("2026-12-01T00:00:00Z");
    const [ended, across] = [newId(), newId()];
    await start(caller, ended);
    await start(caller, across);
    await use(caller, ended, tokens(1_000n, 0n));
    await end(caller, ended);
    await use(caller, across, tokens(500n, 0n), new Date("2026-11-30T23:59:59.999Z"));
    await expect(start(caller)).rejects.toMatchObject(exceeded("TOKENS"));
    expect(await start(caller, newId(), quotas, december)).toBe(true);
    await use(caller, across, tokens(7n, 0n), december);
    expect(await used(caller, december)).toMatchObject({ TOKENS: 7n });
    await end(caller, across, december);
    expect(await used(caller, december)).toMatchObject({ TOKENS: 7n });
  });

  it("agree with the ledger when they are counted anew, whatever the counters say", async () => {
    const caller = aCaller();
    const [ended, running] = [newId(), newId()];
    await start(caller, ended);
    await start(caller, running);
    await use(caller, ended, tokens(100n, 50n));
    await end(caller, ended);
    await use(caller, running, tokens(10n, 5n));
    const before = await used(caller);
    const wrong = { running: 77, tokens: 1n, toolCalls: 5n };
    await withTenant(
      caller,
      (tx) =>
        tx.sql`UPDATE billing.quota_use SET running = ${wrong.running}, tokens = ${wrong.tokens}, tool_calls = ${wrong.toolCalls}`,
    );
    expect(await used(caller)).not.toEqual(before);
    await withTenant(caller, (tx) => recountQuotaUse(tx, caller, NOON));
    expect(await used(caller)).toEqual(before);
  });

  it("count what was used under a plan without limits when the tenant leaves it", async () => {
    const caller = aCaller();
    const subscribe = (planKey: string) => withTenant(caller, (tx) => subscribeToPlan(tx, caller, planKey));
    await subscribe("enterprise");
    expect(await listQuotas(caller)).toEqual([]);
    await use(caller, newId(), tokens(3n, 4n), new Date());
    await subscribe("team");
    expect(await used(caller, new Date())).toMatchObject({ TOKENS: 7n });
  });
});

describe("what a start is held to", () => {
  const limits = (caller: Caller) => withTenant(caller, (tx) => readStartLimits(tx, caller));

  it("is read in one statement: the plan's quotas, and whether there are budgets", async () => {
    const caller = aCaller();
    const { result, statements } = await countStatements(() => limits(caller));
    expect(result).toMatchObject({ quotas: { concurrentRuns: 100 }, hasBudgets: false });
    expect(statements).toHaveLength(1);
    await withTenant(caller, (tx) => subscribeToPlan(tx, caller, "enterprise"));
    expect(await limits(caller)).toEqual({ planKey: "enterprise", quotas: null, hasBudgets: false });
    expect(await limits(aCaller())).toMatchObject({ quotas: { concurrentRuns: 100 } });
  });
});

describe("Tenant.quotas", () => {
  const TENANTS = `query ($tenants: [_Any!]!) { _entities(representations: $tenants) { ... on Tenant { id quotas { kind limit used whenFull } } } }`;
  const POLICY = `mutation ($whenFull: WhenFull!) { setQuotaPolicy(input: { whenFull: $whenFull }) { id quotas { kind whenFull } } }`;
  const of = ({ tenantId }: Caller) => ({ tenants: [{ __typename: "Tenant", id: encodeId("Tenant", tenantId) }] });

  it("shows limits and use, to whoever may read usage", async () => {
    const caller = aCaller();
    await start(caller, newId());
    const { _entities } = await expectData(schema, aColleagueOf(caller, ["usage:read"]), TENANTS, of(caller));
    expect(_entities[0].quotas).toEqual([
      { kind: "TOKENS", limit: "10000000", used: "0", whenFull: null },
      { kind: "TOOL_CALLS", limit: "50000", used: "0", whenFull: null },
      { kind: "CONCURRENT_RUNS", limit: "100", used: "1", whenFull: "REFUSE" },
    ]);
    expect((await expectData(schema, aCaller(), TENANTS, of(caller)))._entities[0].quotas).toBeNull();
  });

  it("has a policy that is set by whoever may write budgets, and audited once", async () => {
    const caller = aCaller();
    const reading = aColleagueOf(caller, ["budget:read", "usage:read"]);
    expect(await expectRefusal(schema, reading, POLICY, { whenFull: "QUEUE" })).toMatchObject({ code: "FORBIDDEN" });
    const set = await expectData(schema, caller, POLICY, { whenFull: "QUEUE" });
    expect(set.setQuotaPolicy.quotas[2]).toEqual({ kind: "CONCURRENT_RUNS", whenFull: "QUEUE" });
    await setQuotaPolicy(caller, "QUEUE");
    const entries = await reader(caller).auditEntry.findMany();
    expect(entries).toMatchObject([{ action: "billing.quotaPolicy.set", details: { whenFull: "QUEUE" } }]);
  });
});
