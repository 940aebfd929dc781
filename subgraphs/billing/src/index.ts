export { announceBudgetAlerts } from "./budget/alert.ts";
export { findBudgets, setBudget, type SetBudgetInput } from "./budget/budget.ts";
export {
  findSlice,
  hasBudgets,
  reserveSlice,
  returnSlice,
  settleSlice,
  type SettleSliceInput,
  type Slice,
  type SliceInput,
} from "./budget/slice.ts";
export { errors as billingErrors } from "./errors.ts";
export { METERS, type Meter } from "./meter/meter.ts";
export {
  addUpMoney,
  affordableQuantity,
  estimateCost,
  PRICE_LIST_VERSION,
  type MeteredLine,
  type Money,
} from "./meter/price-list.ts";
export { PLANS, subscribeToPlan, type Plan, type PlanQuotas } from "./plan/plan.ts";
export {
  admitRuns,
  findAdmitted,
  queueRunSlot,
  readStartLimits,
  requireStartLimits,
  releaseRunSlot,
  requireMonthlyQuotas,
  takeRunSlot,
  type ReleaseRunSlotInput,
  type StartLimits,
  type TakeRunSlotInput,
} from "./quota/quota.ts";
export { withinReservation } from "./usage/overage.ts";
export {
  listRunUsage,
  priceUsage,
  readRunLines,
  recordNewUsage,
  recordUsage,
  type RecordedLine,
  type RunUsageLine,
  type UsageInput,
  type UsageLine,
} from "./usage/record.ts";
