import { describe, expect, it } from "vitest";
import { METERS } from "./meter.ts";
import { addUpMoney, estimateCost, PRICE_LIST_VERSION, priceLine } from "./price-list.ts";

describe("the price list", () => {
  it("gives every meter a price but cached answers and overage, and the local model a small one that is not zero", () => {
    const isFree = (meter: string) => meter === "model.cachedAnswers" || meter.startsWith("overage.");
    for (const meter of METERS.filter(isFree))
      expect(priceLine({ meter, quantity: 1_000_000n, model: "gpt-4.1" }).amountMicros).toBe(0n);
    for (const meter of METERS.filter((each) => !isFree(each)))
      expect(priceLine({ meter, quantity: 1_000_000n, model: "local" }).amountMicros).toBeGreaterThan(0n);
    expect(priceLine({ meter: "model.inputTokens", quantity: 1_000_000n, model: "local" })).toEqual({
      amountMicros: 20_000n,
      currency: "USD",
    });
  });

  it("prices a model by its own name, and one that is not listed as the dearest", () => {
    const price = (model?: string) =>
      priceLine({ meter: "model.outputTokens", quantity: 1_000_000n, ...(model === undefined ? {} : { model }) })
        .amountMicros;
    expect(price("gpt-4.1-mini")).toBe(1_600_000n);
    expect(price("model-of-tomorrow")).toBe(20_000_000n);
    expect(price("constructor")).toBe(20_000_000n);
    expect(price()).toBe(20_000_000n);
  });

  it("rounds a line up to a whole micro-dollar once, and nothing for nothing", () => {
    expect(priceLine({ meter: "model.inputTokens", quantity: 1n, model: "local" }).amountMicros).toBe(1n);
    expect(priceLine({ meter: "model.inputTokens", quantity: 50n, model: "local" }).amountMicros).toBe(1n);
    expect(priceLine({ meter: "model.inputTokens", quantity: 51n, model: "local" }).amountMicros).toBe(2n);
    expect(priceLine({ meter: "model.inputTokens", quantity: 0n, model: "local" }).amountMicros).toBe(0n);
  });

  it("keeps quantities exact where floating point would not", () => {
    const quantity = 9_007_199_254_740_993n;
    expect(priceLine({ meter: "run.started", quantity }).amountMicros).toBe(quantity * 1000n);
  });

  it("prices by the list that is asked for, and by none that does not exist", () => {
    const line = { meter: "run.started", quantity: 3n } as const;
    expect(priceLine(line, 1)).toEqual(estimateCost([line], 1));
    expect(priceLine(line, PRICE_LIST_VERSION)).toEqual(priceLine(line));
    expect(() => priceLine(line, 99)).toThrow("there is no price list 99");
    expect(() => estimateCost([line], 99)).toThrow("there is no price list 99");
  });

  it("estimates the sum of the lines", () => {
    expect(
      estimateCost([
        { meter: "run.started", quantity: 1n },
        { meter: "tool.called", quantity: 2n },
      ]).amountMicros,
    ).toBe(2_000n);
    expect(addUpMoney([])).toEqual({ amountMicros: 0n, currency: "USD" });
  });
});
