import type { UsageLine } from "@sba/billing/index";

/** A usage line as an event carries it: 64-bit numbers as decimal strings. */
export function usageSnapshot({ meter, quantity, cost }: UsageLine) {
  return {
    meter,
    quantity: String(quantity),
    cost: { amountMicros: String(cost.amountMicros), currency: cost.currency },
  };
}
