import { CONSUMER_ARGUMENT, CONSUMER_NAME, startAfter } from "@sba/platform/consumers";
import { encodeCursor, type EventRecord } from "@sba/platform/events";
import { streamEvents } from "@sba/platform/follow";
import { callerOf, eventGapRef, GAP_FIELD, moneyRef } from "@sba/platform/graphql";
import { builder } from "../builder.ts";
import { usageAlertStream, type BudgetPassed } from "../events.ts";
import { CURRENCY } from "../meter/price-list.ts";
import { budgetById, BudgetRef } from "./budget.graphql.ts";

const Money = moneyRef(builder);

type UsageAlertRecord = EventRecord<BudgetPassed>;

const UsageAlert = builder.objectRef<UsageAlertRecord>("UsageAlert").implement({
  description: "A budget is nearly or wholly used up.",
  fields: (t) => ({
    cursor: t.field({ type: "Cursor", resolve: ({ stream, seq }) => encodeCursor(stream, seq) }),
    seq: t.exposeInt("seq"),
    at: t.field({ type: "DateTime", resolve: ({ at }) => at }),
    gap: t.field({
      type: eventGapRef(builder),
      nullable: true,
      description: GAP_FIELD,
      resolve: ({ gap }) => gap,
    }),
    percent: t.int({
      description: "80, or 100 when all is spent or a run could not reserve what it needs.",
      resolve: ({ payload }) => payload.percent,
    }),
    periodStart: t.field({ type: "DateTime", resolve: ({ payload }) => payload.periodStart }),
    limit: t.field({
      type: Money,
      resolve: ({ payload }) => ({ amountMicros: BigInt(payload.limitMicros), currency: CURRENCY }),
    }),
    spent: t.field({
      type: Money,
      resolve: ({ payload }) => ({ amountMicros: BigInt(payload.spentMicros), currency: CURRENCY }),
    }),
    budget: t.field({
      type: BudgetRef,
      nullable: true,
      description: "As it is now; null when it was removed.",
      resolve: ({ payload }, _args, context) => budgetById(context).load(payload.budgetId),
    }),
  }),
});

builder.subscriptionField("usageAlerts", (t) =>
  t.field({
    type: UsageAlert,
    description: "Every alert after the cursor, or from the beginning, and then each as it happens.",
    authScopes: { permission: "budget:read" },
    args: {
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      consumer: t.arg.string({ description: CONSUMER_ARGUMENT, validate: { regex: CONSUMER_NAME } }),
    },
    subscribe: async (_root, start, context) => {
      const caller = callerOf(context);
      const stream = usageAlertStream(caller.tenantId);
      const after = await startAfter(caller, stream, start);
      return streamEvents(caller, stream, { after, signal: context.signal });
    },
    resolve: (event) => event as UsageAlertRecord,
  }),
);
