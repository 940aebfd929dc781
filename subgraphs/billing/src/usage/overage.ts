import type { Meter } from "../meter/meter.ts";
import { affordableQuantity, priceLine, type MeteredLine } from "../meter/price-list.ts";

/** Which meter takes what a provider reports beyond its reservation. Of other meters the quantity is ours, and known before. */
const OVERAGE_METERS: Readonly<Partial<Record<Meter, Meter>>> = {
  "model.inputTokens": "overage.inputTokens",
  "model.outputTokens": "overage.outputTokens",
};

/**
 * The lines as they are charged when so much was reserved for them: tokens that the reservation does not cover become a line of
 * their own, which costs the tenant nothing. Line by line, quantities add up to what was reported. Others than tokens are not cut.
 */
export function withinReservation(
  lines: readonly MeteredLine[],
  reservedMicros: bigint,
  priceListVersion?: number,
): MeteredLine[] {
  let left = reservedMicros;
  return lines.flatMap((line) => {
    const overage = OVERAGE_METERS[line.meter];
    const quantity = overage === undefined ? line.quantity : affordableQuantity(line, left, priceListVersion);
    const charged = { ...line, quantity };
    left -= priceLine(charged, priceListVersion).amountMicros;
    if (overage === undefined || quantity === line.quantity) return [charged];
    return [charged, { ...line, meter: overage, quantity: line.quantity - quantity }];
  });
}
