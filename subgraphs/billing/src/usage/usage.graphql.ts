import {
  callerOf,
  defineListLoader,
  moneyRef,
  pageInfoRef,
  toConnection,
  usageLineRef,
  type ConnectionShape,
} from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { addUpMoney } from "../meter/price-list.ts";
import { listRunUsage, type UsageLine } from "./record.ts";
import { GRANULARITIES, reportUsage, usageCursor, type UsageRow } from "./usage.ts";

const Money = moneyRef(builder);
const UsageLineRef = usageLineRef(builder);

const UsageGranularity = builder.enumType("UsageGranularity", { values: GRANULARITIES });
const UsageDimension = builder.enumType("UsageDimension", {
  description:
    "What rows are split by. They are split by meter in any case, since quantities of different meters cannot be added.",
  values: ["METER", "AGENT"] as const,
});

const UsagePeriod = builder.objectRef<UsageRow>("UsagePeriod").implement({
  description:
    "What was used of one meter in one period of UTC; at the window's borders, what of it lies in the window.",
  fields: (t) => ({
    periodStart: t.field({ type: "DateTime", resolve: (row) => row.periodStart }),
    periodEnd: t.field({ type: "DateTime", resolve: (row) => row.periodEnd }),
    meter: t.exposeString("meter"),
    agentKey: t.exposeString("agentKey", {
      nullable: true,
      description: "Set when grouped by AGENT and an agent used it.",
    }),
    quantity: t.field({ type: "BigInt", resolve: (row) => row.quantity }),
    cost: t.field({ type: Money, resolve: (row) => row.cost }),
  }),
});

const UsageEdge = builder.objectRef<{ readonly cursor: string; readonly node: UsageRow }>("UsageEdge").implement({
  fields: (t) => ({
    cursor: t.field({ type: "Cursor", resolve: (edge) => edge.cursor }),
    node: t.field({ type: UsagePeriod, resolve: (edge) => edge.node }),
  }),
});

interface UsageConnectionShape extends ConnectionShape<UsageRow> {
  readonly totals: readonly UsageLine[];
}

const UsageConnection = builder.objectRef<UsageConnectionShape>("UsageConnection").implement({
  fields: (t) => ({
    edges: t.field({ type: [UsageEdge], resolve: ({ edges }) => [...edges] }),
    pageInfo: t.field({ type: pageInfoRef(builder), resolve: ({ pageInfo }) => pageInfo }),
    totals: t.field({
      type: [UsageLineRef],
      description: "One line a meter over the whole window: the exact sum of all its rows, on every page.",
      resolve: ({ totals }) => [...totals],
    }),
  }),
});

builder.queryField("usage", (t) =>
  t.field({
    type: UsageConnection,
    description: "Metered usage of the window [from, to), oldest period first.",
    authScopes: { permission: "usage:read" },
    tag: "partner",
    args: {
      from: t.arg({ type: "DateTime", required: true }),
      to: t.arg({ type: "DateTime", required: true }),
      granularity: t.arg({ type: UsageGranularity, required: true }),
      groupBy: t.arg({ type: [UsageDimension], validate: { maxLength: 10 } }),
      first: t.arg.int({ required: true, defaultValue: MAX_PAGE_SIZE, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, { groupBy, ...args }, context) => {
      const query = { ...args, byAgent: groupBy?.includes("AGENT") ?? false };
      const report = await reportUsage(callerOf(context), query);
      const connection = toConnection(report, { after: args.after, cursorOf: (row) => usageCursor(query, row) });
      return { ...connection, totals: report.totals };
    },
  }),
);

const usageOfRun = defineListLoader(listRunUsage, (line) => line.runId);

/** The agent domain's runs; here they have what they cost. */
const Run = builder.objectRef<{ readonly id: string }>("Run");

builder.asEntity(Run, { key: builder.selection<{ id: string }>("id"), resolveReference: ({ id }) => ({ id }) });

Run.implement({
  fields: (t) => ({
    id: t.exposeID("id"),
    cost: t.field({
      type: Money,
      nullable: true,
      description: "What the run has cost so far, with the runs that it delegated work to.",
      authScopes: { permission: "run:read" },
      resolve: async ({ id }, _args, context) =>
        addUpMoney((await usageOfRun(context).load(decodeId("Run", id))).map(({ cost }) => cost)),
    }),
    usage: t.field({
      type: [UsageLineRef],
      nullable: true,
      description: "What the run has used so far, with the runs that it delegated work to, one line a meter.",
      authScopes: { permission: "run:read" },
      resolve: ({ id }, _args, context) => usageOfRun(context).load(decodeId("Run", id)),
    }),
  }),
});
