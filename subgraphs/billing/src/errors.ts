import { defineErrors } from "@sba/platform/errors";

export const errors = defineErrors("billing", {
  BILLING_USAGE_LINES_INVALID: { kind: "invalid_input", message: "These usage lines cannot be recorded." },
  BILLING_USAGE_WINDOW_INVALID: { kind: "invalid_input", message: "The window is not valid." },
  BILLING_BUDGET_EXHAUSTED: { kind: "quota_exceeded", message: "The budget does not cover what would come next." },
  BILLING_BUDGET_NOT_FOUND: { kind: "not_found", message: "There is no such budget." },
  BILLING_BUDGET_SCOPE_INVALID: { kind: "invalid_input", message: "A budget cannot be held for this." },
  BILLING_BUDGET_LIMIT_INVALID: {
    kind: "invalid_input",
    message: "A budget's limit must be between 0 and a billion dollars.",
  },
  BILLING_BUDGETS_TOO_MANY: { kind: "conflict", message: "The tenant has as many budgets as it may have." },
  BILLING_QUOTA_EXCEEDED: { kind: "quota_exceeded", message: "The plan's quota is used up." },
  BILLING_PLAN_NOT_FOUND: { kind: "not_found", message: "There is no such plan." },
});
