import { defineErrors } from "@sba/platform/errors";

export const errors = defineErrors("billing", {
  BILLING_USAGE_LINES_INVALID: { kind: "invalid_input", message: "These usage lines cannot be recorded." },
  BILLING_USAGE_WINDOW_INVALID: { kind: "invalid_input", message: "The window is not valid." },
  BILLING_BUDGET_EXHAUSTED: { kind: "quota_exceeded", message: "The budget does not cover what would come next." },
  BILLING_PLAN_NOT_FOUND: { kind: "not_found", message: "There is no such plan." },
});
