import { toSubgraphSchema } from "@sba/platform/graphql";
import { builder } from "./builder.ts";
import "./agent/agent.graphql.ts";
import "./approval/approval.graphql.ts";
import "./approval/policy.graphql.ts";
import "./artifact/artifact.graphql.ts";
import "./note/note.graphql.ts";
import "./run/control.graphql.ts";
import "./run/run.graphql.ts";
import "./run/run-events.graphql.ts";
import "./run/dead-letter.graphql.ts";
import "./run/plan-run.graphql.ts";
import "./run/fork.graphql.ts";
import "./step/step.graphql.ts";
import "./task/task.graphql.ts";
import "./tool/tool.graphql.ts";
import "./tool-call/tool-call.graphql.ts";

export const schema = toSubgraphSchema(builder);
