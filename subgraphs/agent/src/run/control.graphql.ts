import { callerOf } from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import { getRunOf } from "./run.graphql.ts";
import { RunRef } from "./run.ref.ts";

/** What people do to a run that is under way. */

const PauseRunInput = builder.inputType("PauseRunInput", {
  fields: (t) => ({ runId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

const ResumeRunInput = builder.inputType("ResumeRunInput", {
  fields: (t) => ({ runId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

builder.mutationFields((t) => ({
  pauseRun: t.field({
    type: RunRef,
    description: "Lets a run do nothing more until it is resumed. What it waits for it still waits for.",
    authScopes: { permission: "run:cancel" },
    args: { input: t.arg({ type: PauseRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const runId = decodeId("Run", input.runId);
      await pauseRun(callerOf(context), runId);
      return getRunOf(context, runId);
    },
  }),
  resumeRun: t.field({
    type: RunRef,
    description: "Lets a paused run go on with what it did or waited for.",
    authScopes: { permission: "run:cancel" },
    args: { input: t.arg({ type: ResumeRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const runId = decodeId("Run", input.runId);
      await resumeRun(callerOf(context), runId);
      return getRunOf(context, runId);
    },
  }),
}));
