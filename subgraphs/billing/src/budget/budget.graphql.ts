import { requirePermission } from "@sba/platform/caller";
import { callerOf, defineLoader, moneyRef, type GraphContext } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { CURRENCY } from "../meter/price-list.ts";
import { errors } from "../errors.ts";
import { findBudgets, listBudgets, publicScopeId, removeBudget, setBudget, type Budget } from "./budget.ts";
import { BUDGET_PERIODS, BUDGET_SCOPES, remainingOf, type BudgetPeriod, type BudgetScope } from "./budget.state.ts";

const Money = moneyRef(builder);
export const budgetById = defineLoader(findBudgets, (budget) => budget.id);

const BudgetScopeRef = builder.enumType("BudgetScope", {
  description: "Who may spend: the tenant in all its runs, an agent in its runs, or a run.",
  values: BUDGET_SCOPES,
});
const BudgetPeriodRef = builder.enumType("BudgetPeriod", {
  description: "RUN: for each run by itself. DAY and MONTH are those of UTC.",
  values: BUDGET_PERIODS,
});

const BudgetSubject = builder.objectRef<Budget>("BudgetSubject").implement({
  description: "What a budget is held for.",
  fields: (t) => ({
    kind: t.field({ type: BudgetScopeRef, resolve: ({ scope }) => scope as BudgetScope }),
    id: t.id({
      nullable: true,
      description: "Of the tenant, agent (its id or key, as it was set) or run; null for each run of the tenant.",
      resolve: publicScopeId,
    }),
  }),
});

export const BudgetRef = builder.objectRef<Budget>("Budget");

builder.asEntity(BudgetRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => {
    requirePermission(callerOf(context), "budget:read");
    return getBudget(context, decodeId("Budget", id));
  },
});

/** @throws BILLING_BUDGET_NOT_FOUND */
async function getBudget(context: GraphContext, id: string): Promise<Budget> {
  const budget = await budgetById(context).load(id);
  if (!budget) throw errors.BILLING_BUDGET_NOT_FOUND();
  return budget;
}

const usd = (amountMicros: bigint) => ({ amountMicros, currency: CURRENCY });

BudgetRef.implement({
  description:
    "What may be spent at most in a period. A run reserves from it before it spends, and is stopped before it exceeds it.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Budget", id) }),
    scope: t.field({ type: BudgetSubject, resolve: (budget) => budget }),
    period: t.field({ type: BudgetPeriodRef, resolve: ({ period }) => period as BudgetPeriod }),
    limit: t.field({ type: Money, resolve: ({ limitMicros }) => usd(limitMicros) }),
    reserved: t.field({
      type: Money,
      description: "Held by runs under way, and not spent. Zero for a budget of each run.",
      resolve: ({ reservedMicros }) => usd(reservedMicros),
    }),
    spent: t.field({
      type: Money,
      description: "In the period that is now. Zero for a budget of each run: what a run spent is its cost.",
      resolve: ({ spentMicros }) => usd(spentMicros),
    }),
    remaining: t.field({
      type: Money,
      description: "What may still be reserved; zero when the limit was lowered below what is spent.",
      resolve: (budget) => usd(remainingOf(budget.limitMicros, budget.reservedMicros, budget.spentMicros)),
    }),
  }),
});

builder.queryField("budgets", (t) =>
  t.field({
    type: [BudgetRef],
    description: "The tenant's budgets, 100 at the most, with what is left of each in the period that is now.",
    authScopes: { permission: "budget:read" },
    resolve: (_root, _args, context) => listBudgets(callerOf(context)),
  }),
);

const SetBudgetInput = builder.inputType("SetBudgetInput", {
  fields: (t) => ({
    scope: t.field({ type: BudgetScopeRef, required: true }),
    scopeId: t.id({
      description: "AGENT: the agent's id or key. RUN: a run's id, or none for each run. TENANT: none.",
      validate: { maxLength: 100 },
    }),
    period: t.field({ type: BudgetPeriodRef, required: true, description: "RUN for a budget of scope RUN." }),
    limitMicros: t.field({
      type: "BigInt",
      required: true,
      description: "Micros of the currency, 0 or more.",
      validate: { refine: [(value) => value >= 0n, { message: "must not be negative" }] },
    }),
  }),
});

const RemoveBudgetInput = builder.inputType("RemoveBudgetInput", {
  fields: (t) => ({ budgetId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

builder.mutationFields((t) => ({
  setBudget: t.field({
    type: BudgetRef,
    description:
      "Sets the budget of a scope and period; there is one of each. It stops what comes next, never what is reserved.",
    authScopes: { permission: "budget:write" },
    args: { input: t.arg({ type: SetBudgetInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const id = await setBudget(callerOf(context), input);
      budgetById(context).clear(id); // one request may set it twice
      return getBudget(context, id);
    },
  }),
  removeBudget: t.field({
    type: "ID",
    description: "Removes a budget and gives its id. Runs under way keep what they reserved.",
    authScopes: { permission: "budget:write" },
    args: { input: t.arg({ type: RemoveBudgetInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      await removeBudget(callerOf(context), decodeId("Budget", input.budgetId));
      return input.budgetId;
    },
  }),
}));
