import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { trialsOf } from "@sba/testkit/trials";
import { describe, expect, it } from "vitest";
import { end, exceeded, runsOnly, start, used } from "./testing.ts";

useDatabase();

const TRIALS = trialsOf(300);
const MANY_AT_ONCE_MS = 300_000;

describe("the quota of concurrent runs", () => {
  it("lets exactly 100 of 200 parallel starts in at a quota of 100", { timeout: MANY_AT_ONCE_MS }, async () => {
    const caller = aCaller();
    const starts = await Promise.allSettled(Array.from({ length: 200 }, () => start(caller, newId(), runsOnly(100))));
    expect(starts.filter(({ status }) => status === "fulfilled")).toHaveLength(100);
    const refused = starts.filter((outcome) => outcome.status === "rejected");
    for (const { reason } of refused) expect(reason).toMatchObject({ ...exceeded("CONCURRENT_RUNS"), retryable: true });
    expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 100n });
  });

  it(
    `is never exceeded while runs start and end at once, in ${TRIALS} trials`,
    { timeout: MANY_AT_ONCE_MS },
    async () => {
      for (let trial = 0; trial < TRIALS; trial++) {
        const caller = aCaller();
        const live = async () => {
          const runId = newId();
          const began = await start(caller, runId).catch((error: unknown) => {
            expect(error).toMatchObject(exceeded("CONCURRENT_RUNS"));
            return false;
          });
          if (!began) return 0;
          const { CONCURRENT_RUNS } = await used(caller);
          expect(CONCURRENT_RUNS).toBeLessThanOrEqual(3n);
          await Promise.all([end(caller, runId), end(caller, runId)]);
          return 1;
        };
        const began = await Promise.all([1, 2, 3, 4, 5, 6].map(live));
        expect(began.filter(Boolean).length).toBeGreaterThanOrEqual(3);
        expect(await used(caller)).toMatchObject({ CONCURRENT_RUNS: 0n });
      }
    },
  );
});
