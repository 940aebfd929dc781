export { errors as billingErrors } from "./errors.ts";
export { METERS, type Meter } from "./meter/meter.ts";
export { addUpMoney, estimateCost, PRICE_LIST_VERSION, type MeteredLine, type Money } from "./meter/price-list.ts";
export { PLANS, subscribeToPlan, type Plan } from "./plan/plan.ts";
export {
  listRunUsage,
  priceUsage,
  recordNewUsage,
  recordUsage,
  type RunUsageLine,
  type UsageInput,
  type UsageLine,
} from "./usage/record.ts";
