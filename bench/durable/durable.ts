import type { Measurement } from "../measurement.ts";
import type { DurableOptions } from "./options.ts";
import { writeSelfTimes } from "./profile.ts";
import { benchThroughput } from "./throughput.ts";

/** Durable runs: how many, and what they cost. */
export async function benchDurable(options: DurableOptions): Promise<Measurement[]> {
  const { profileTo } = options;
  if (profileTo === undefined) return benchThroughput(options);
  const measurements = await benchThroughput(options);
  writeSelfTimes(profileTo);
  return measurements;
}
