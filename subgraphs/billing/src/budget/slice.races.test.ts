import { describe, expect, it } from "vitest";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { trialsOf } from "@sba/testkit/trials";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { setBudget } from "./budget.ts";
import { reserveSlice, returnSlice, settleSlice } from "./slice.ts";
import { aRun, exhausted, find, giveBack, NOON, reserve, settle, shown, tenantDay } from "./testing.ts";

const database = useDatabase();

/** What every budget must satisfy at any moment: read as the owner, so that nothing is hidden. */
async function expectBooksToBalance(caller: Caller): Promise<void> {
  const { rows } = await database().owner.query<{ scope: string }>(
    `SELECT b.scope, b.limit_micros, p.* FROM billing.budget_period p JOIN billing.budget b ON b.tenant_id = p.tenant_id AND b.id = p.budget_id
     WHERE p.tenant_id = $1 AND (
       p.reserved_micros + p.spent_micros > b.limit_micros OR p.reserved_micros <>
       (SELECT coalesce(sum(s.reserved_micros), 0) FROM billing.slice s WHERE s.tenant_id = p.tenant_id AND s.budget_id = p.budget_id AND s.starts_at = p.starts_at))`,
    [caller.tenantId],
  );
  expect(rows).toEqual([]);
}

/** A generator of numbers that a failed trial can be repeated with (mulberry32). */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const TRIALS = trialsOf(300);
const MANY_TRIALS_MS = 600_000;

describe("at the edge of a budget", () => {
  it(
    `parallel runs never reserve one micro too much, in ${TRIALS} trials, and in the end everything is returned`,
    { timeout: MANY_TRIALS_MS },
    async () => {
      for (let trial = 0; trial < TRIALS; trial++) {
        const random = randomOf(trial);
        const caller = aCaller();
        const limit = BigInt(50 + random(100));
        await setBudget(caller, tenantDay(limit));
        await setBudget(caller, { ...tenantDay(limit + BigInt(random(40)) - 20n), period: "MONTH" });
        if (trial % 2 === 0) await setBudget(caller, { ...tenantDay(40n), scope: "AGENT", scopeId: "a0" });
        const spent = await Promise.all(
          [0, 1, 2, 3, 4, 5].map((index) => spendInParallel(caller, `a${index % 2}`, 10 + random(40))),
        );
        await expectBooksToBalance(caller);
        const total = spent.reduce((sum, micros) => sum + micros, 0n);
        for (const budget of await shown(caller)) {
          expect(budget.reservedMicros, `trial ${trial}`).toBe(0n);
          if (budget.limitMicros !== 40n) expect(budget.spentMicros, `trial ${trial}`).toBe(total);
        }
      }
    },
  );

  /** A run that reserves, spends half of what it got, reserves again and returns the rest. Gives what it spent. */
  async function spendInParallel(caller: Caller, agentKey: string, want: number): Promise<bigint> {
    const run = aRun(agentKey);
    for (const _round of [1, 2]) {
      const slice = await withTenant(caller, async (tx) => {
        const taken = await reserveSlice(tx, caller, { ...run, wantMicros: BigInt(want) });
        // Locked by this transaction: what it sees is what is true.
        const over = await tx.sql`
          SELECT p.* FROM billing.budget_period p JOIN billing.budget b ON b.id = p.budget_id
          WHERE p.reserved_micros + p.spent_micros > b.limit_micros AND EXISTS (
            SELECT FROM billing.slice s WHERE s.run_id = ${run.runId} AND s.budget_id = p.budget_id)`;
        expect(over).toEqual([]);
        return taken;
      }).catch((error: unknown) => {
        expect(error).toMatchObject(exhausted);
        return undefined;
      });
      if (!slice) break;
      await settle(caller, run, slice.leftMicros / 2n);
    }
    await giveBack(caller, run);
    return run.spentMicros;
  }

  it("200 runs at once take exactly as many slices as there are", { timeout: MANY_TRIALS_MS }, async () => {
    const caller = aCaller();
    await setBudget(caller, tenantDay(1_000n));
    const taken = await Promise.allSettled(
      Array.from({ length: 200 }, () => reserve(caller, aRun(), 10n, { atLeastMicros: 10n })),
    );
    expect(taken.filter(({ status }) => status === "fulfilled")).toHaveLength(100);
    expect(await shown(caller)).toEqual([{ limitMicros: 1_000n, reservedMicros: 1_000n, spentMicros: 0n }]);
  });
});

describe("whatever happens in whatever order", () => {
  it("what budgets have reserved and spent is what runs hold and have spent", { timeout: MANY_TRIALS_MS }, async () => {
    for (let seed = 1; seed <= 25; seed++) await playRandomly(seed);
  });

  /** Reserves, spends, returns, moves on in time and crashes at random, and keeps the books beside. */
  async function playRandomly(seed: number): Promise<void> {
    const random = randomOf(seed);
    const caller = aCaller();
    await setBudget(caller, tenantDay(500n));
    await setBudget(caller, { ...tenantDay(1_200n), period: "MONTH" });
    await setBudget(caller, { ...tenantDay(300n), scope: "AGENT", scopeId: "a0" });
    await setBudget(caller, { scope: "RUN", period: "RUN", limitMicros: 400n });
    const runs = [0, 1, 2, 3].map((index) => ({ ...aRun(`a${index % 2}`), heldSince: NOON }));
    let at = NOON;
    const spentOn = new Map<string, bigint>();
    for (let move = 0; move < 40; move++) {
      const run = runs[random(runs.length)]!;
      const crashes = random(4) === 0;
      if (random(12) === 0) at = new Date(at.getTime() + 9 * 3_600_000);
      const slice = await find(caller, run);
      const kind = random(5);
      if (kind <= 1) {
        const took = await mayCrash(crashes, (fail) =>
          withTenant(caller, async (tx) => {
            const taken = await reserveSlice(tx, caller, { ...run, at, wantMicros: BigInt(1 + random(200)) });
            fail();
            return taken;
          }),
        );
        if (took) run.heldSince = at;
        else expect(await find(caller, run)).toEqual(slice);
      } else if (kind <= 3 && slice) {
        const micros = BigInt(random(Number(slice.leftMicros) + 1));
        const spent = await mayCrash(crashes, (fail) =>
          withTenant(caller, async (tx) => {
            settleSlice(tx, caller, { runId: run.runId, spentMicros: micros });
            await tx.sql`SELECT 1`;
            fail();
            return true;
          }),
        );
        if (spent) {
          run.spentMicros += micros;
          const day = run.heldSince.toISOString().slice(0, 10);
          spentOn.set(day, (spentOn.get(day) ?? 0n) + micros);
        }
      } else if (kind === 4) {
        await mayCrash(crashes, (fail) =>
          withTenant(caller, async (tx) => {
            returnSlice(tx, caller, run.runId);
            await tx.sql`SELECT 1`;
            fail();
            return true;
          }),
        );
      }
      await expectBooksToBalance(caller);
      for (const [day, micros] of spentOn) {
        const budgets = await shown(caller, new Date(`${day}T12:00:00Z`));
        expect(budgets[0]!.spentMicros, `seed ${seed}, move ${move}`).toBe(micros);
      }
    }
    for (const run of runs) await giveBack(caller, run);
    const total = runs.reduce((sum, { spentMicros }) => sum + spentMicros, 0n);
    expect((await shown(caller))[1]).toEqual({ limitMicros: 1_200n, reservedMicros: 0n, spentMicros: total });
    expect(runs.every(({ spentMicros }) => spentMicros <= 400n)).toBe(true);
  }

  /** Undefined when the work was refused, or when the worker died before its commit. */
  async function mayCrash<T>(crashes: boolean, work: (fail: () => void) => Promise<T>): Promise<T | undefined> {
    try {
      return await work(() => {
        if (crashes) throw new Error("the worker died");
      });
    } catch (error) {
      if (!(error instanceof Error) || error.message !== "the worker died") expect(error).toMatchObject(exhausted);
      return undefined;
    }
  }
});
