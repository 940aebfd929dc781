import { callerOf } from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { forkRun } from "./fork.ts";
import { getRunOf, idempotencyKey, MAX_PROMPT_CHARACTERS } from "./run.graphql.ts";
import { RunRef, runById } from "./run.ref.ts";

interface Fork {
  readonly runId: string;
  readonly seq: number;
}

const RunForkRef = builder.objectRef<Fork>("RunFork").implement({
  description: "Where a fork goes on.",
  fields: (t) => ({
    run: t.field({
      type: RunRef,
      nullable: true,
      resolve: ({ runId }, _args, context) => runById(context).load(runId),
    }),
    seq: t.exposeInt("seq", { description: "The last event of that run that the fork knows." }),
  }),
});

builder.objectField(RunRef, "forkedFrom", (t) =>
  t.field({
    type: RunForkRef,
    nullable: true,
    description: "Null for a run that is no fork.",
    resolve: ({ forkedFromRunId: runId, forkedFromSeq: seq }) =>
      runId === null || seq === null ? null : { runId, seq },
  }),
);

const ForkRunInput = builder.inputType("ForkRunInput", {
  fields: (t) => ({
    runId: t.id({ required: true, validate: { maxLength: 64 } }),
    fromSeq: t.int({
      required: true,
      validate: { min: 1 },
      description: "The last event of the run that the fork knows.",
    }),
    agentVersion: t.int({ validate: { min: 1 }, description: "The version that goes on; the run's own when absent." }),
    prompt: t.string({
      validate: { minLength: 1, maxLength: MAX_PROMPT_CHARACTERS },
      description:
        "What the person says from there: in place of the last words if nothing had followed them, else after everything.",
    }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

builder.mutationField("forkRun", (t) =>
  t.field({
    type: RunRef,
    description:
      "Starts a run that goes on from any event of another, in a thread of its own: with what was said and what tools had answered by then, and nothing called again.",
    authScopes: { permission: "run:start" },
    args: { input: t.arg({ type: ForkRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const id = await forkRun(callerOf(context), {
        runId: decodeId("Run", input.runId),
        fromSeq: input.fromSeq,
        agentVersion: input.agentVersion ?? undefined,
        prompt: input.prompt ?? undefined,
        idempotencyKey: input.idempotencyKey ?? undefined,
      });
      return getRunOf(context, id);
    },
  }),
);
