import { defineListLoader } from "@sba/platform/graphql";
import { builder } from "../builder.ts";
import { RunRef, runById } from "./run.ref.ts";
import { findChildrenOfRuns } from "./run.ts";

/** The tree of runs: who delegated what to whom. */

const childrenOfRun = defineListLoader(findChildrenOfRuns, (run) => run.parentRunId ?? "");

builder.objectFields(RunRef, (t) => ({
  parent: t.field({
    type: RunRef,
    nullable: true,
    description: "The run that delegated this one, and waits for it.",
    resolve: ({ parentRunId }, _args, context) => (parentRunId === null ? null : runById(context).load(parentRunId)),
  }),
  children: t.field({
    type: [RunRef],
    description: "What the run delegated to other agents, oldest first.",
    resolve: ({ id, childCount }, _args, context) => (childCount === 0 ? [] : childrenOfRun(context).load(id)),
  }),
}));
