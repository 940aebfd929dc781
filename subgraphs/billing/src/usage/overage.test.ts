import { describe, expect, it } from "vitest";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { addUpMoney, affordableQuantity, estimateCost, priceLine, type MeteredLine } from "../meter/price-list.ts";
import { withinReservation } from "./overage.ts";
import { listRunUsage, recordUsage } from "./record.ts";

useDatabase();

const turn = (inputTokens: bigint, outputTokens: bigint, model = "gpt-4.1"): MeteredLine[] => [
  { meter: "model.inputTokens", quantity: inputTokens, model },
  { meter: "model.outputTokens", quantity: outputTokens, model },
];

describe("what exceeds a reservation", () => {
  it("is a line of its own, and what is charged is what was reserved", () => {
    // gpt-4.1: 2 micros a token in, 8 micros a token out.
    expect(withinReservation(turn(100n, 50n), 520n)).toEqual([
      { meter: "model.inputTokens", quantity: 100n, model: "gpt-4.1" },
      { meter: "model.outputTokens", quantity: 40n, model: "gpt-4.1" },
      { meter: "overage.outputTokens", quantity: 10n, model: "gpt-4.1" },
    ]);
    expect(withinReservation(turn(100n, 50n), 101n).map(({ meter, quantity }) => [meter, quantity])).toEqual([
      ["model.inputTokens", 50n],
      ["overage.inputTokens", 50n],
      ["model.outputTokens", 0n],
      ["overage.outputTokens", 50n],
    ]);
  });

  it("is nothing when the reservation covers all", () => {
    expect(withinReservation(turn(100n, 50n), 600n)).toEqual(turn(100n, 50n));
    expect(withinReservation([{ meter: "tool.called", quantity: 1n }], 0n)).toEqual([
      { meter: "tool.called", quantity: 1n },
    ]);
  });

  it("never costs more than was reserved, and never loses a token, whatever is reported and reserved", () => {
    const models = ["local", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "model-of-tomorrow"];
    for (let trial = 0n; trial < 2_000n; trial++) {
      const lines = turn((trial * 7919n) % 5_000n, (trial * 104_729n) % 5_000n, models[Number(trial % 5n)]);
      const reserved = (trial * 15_485_863n) % 60_000n;
      const charged = withinReservation(lines, reserved);
      expect(estimateCost(charged).amountMicros).toBeLessThanOrEqual(reserved);
      const total = (unit: string) =>
        charged.filter(({ meter }) => meter.endsWith(unit)).reduce((sum, { quantity }) => sum + quantity, 0n);
      expect([total("inputTokens"), total("outputTokens")]).toEqual(lines.map(({ quantity }) => quantity));
    }
  });

  it("is recorded, costs the tenant nothing and is found in the run's usage", async () => {
    const caller = aCaller();
    const runId = newId();
    const lines = withinReservation(turn(100n, 50n), 520n);
    const record = () => withTenant(caller, (tx) => recordUsage(tx, caller, { key: "run:1:step:1", runId, lines }));
    const recorded = await record();
    expect(await record()).toEqual(recorded);
    expect(addUpMoney(recorded.map(({ cost }) => cost)).amountMicros).toBe(520n);
    expect(await listRunUsage(caller, [runId])).toEqual([
      { runId, meter: "model.inputTokens", quantity: 100n, cost: { amountMicros: 200n, currency: "USD" } },
      { runId, meter: "model.outputTokens", quantity: 40n, cost: { amountMicros: 320n, currency: "USD" } },
      { runId, meter: "overage.outputTokens", quantity: 10n, cost: { amountMicros: 0n, currency: "USD" } },
    ]);
  });
});

describe("what an amount affords", () => {
  it("is the greatest quantity that costs no more", () => {
    for (const model of ["local", "gpt-4.1-nano", "model-of-tomorrow"]) {
      for (let micros = 0n; micros < 50n; micros++) {
        const line: MeteredLine = { meter: "model.outputTokens", quantity: 10n ** 9n, model };
        const quantity = affordableQuantity(line, micros);
        expect(priceLine({ ...line, quantity }).amountMicros).toBeLessThanOrEqual(micros);
        expect(priceLine({ ...line, quantity: quantity + 1n }).amountMicros).toBeGreaterThan(micros);
      }
    }
  });

  it("is nothing for a debt, and no more than was asked", () => {
    const line: MeteredLine = { meter: "model.outputTokens", quantity: 3n, model: "local" };
    expect(affordableQuantity(line, -1n)).toBe(0n);
    expect(affordableQuantity(line, 1_000n)).toBe(3n);
  });
});
