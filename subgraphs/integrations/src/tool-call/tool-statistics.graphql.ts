import { callerOf } from "@sba/platform/graphql";
import { builder } from "../builder.ts";
import { measureTools, type ToolStatistics } from "./tool-statistics.ts";

const ToolStatisticsRef = builder.objectRef<ToolStatistics>("ToolStatistics").implement({
  description: "How one tool did in a window of time, for this tenant.",
  fields: (t) => ({
    tool: t.exposeString("tool", { description: "The tool's name." }),
    calls: t.exposeInt("calls", { description: "Requested in the window, whatever became of them." }),
    failures: t.exposeInt("failures", { description: "Denied and refused calls included." }),
    unknownOutcomes: t.exposeInt("unknownOutcomes", {
      description: "Interrupted calls of which nobody can say whether they did their work.",
    }),
    pending: t.exposeInt("pending", { description: "Under way, or waiting for an approval." }),
    p50DurationMs: t.exposeInt("p50DurationMs", {
      nullable: true,
      description: "Half of the calls that ended took no longer.",
    }),
    p95DurationMs: t.exposeInt("p95DurationMs", {
      nullable: true,
      description: "95 in 100 of the calls that ended took no longer.",
    }),
    lastCalledAt: t.field({ type: "DateTime", resolve: ({ lastCalledAt }) => lastCalledAt }),
  }),
});

builder.queryField("toolStatistics", (t) =>
  t.field({
    type: [ToolStatisticsRef],
    description:
      "The tenant's tool calls requested in [from, to), by tool, the most called first. At most 92 days and 100 tools.",
    authScopes: { permission: "integration:read" },
    args: {
      from: t.arg({ type: "DateTime", required: true }),
      to: t.arg({ type: "DateTime", required: true }),
    },
    resolve: (_root, window, context) => measureTools(callerOf(context), window),
  }),
);
