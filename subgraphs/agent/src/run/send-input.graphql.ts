import { callerOf } from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { getRunOf, idempotencyKey, MAX_PROMPT_CHARACTERS } from "./run.graphql.ts";
import { RunRef } from "./run.ref.ts";
import { sendRunInput, type RunInputMode } from "./send-input.ts";

export const RunInputModeRef = builder.enumType("RunInputMode", {
  description: "How what a person says reaches a run that is under way.",
  values: {
    STEER: { description: "The next model turn of the run is told." },
    QUEUE: { description: "It is answered by a run of its own when this one has ended." },
    INTERRUPT: { description: "The run is stopped and keeps what it did; a run of its own answers." },
  } satisfies Record<RunInputMode, object>,
});

const SendRunInputInput = builder.inputType("SendRunInputInput", {
  fields: (t) => ({
    runId: t.id({ required: true, validate: { maxLength: 64 } }),
    input: t.string({ required: true, validate: { minLength: 1, maxLength: MAX_PROMPT_CHARACTERS } }),
    mode: t.field({ type: RunInputModeRef, required: true }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

builder.mutationField("sendRunInput", (t) =>
  t.field({
    type: RunRef,
    description:
      "Says something to a run that is under way, and returns the run that answers it. A run that has ended takes no STEER: go on with startRun and its thread.",
    authScopes: { permission: "run:start" },
    args: { input: t.arg({ type: SendRunInputInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const id = await sendRunInput(callerOf(context), {
        runId: decodeId("Run", input.runId),
        input: input.input,
        mode: input.mode,
        idempotencyKey: input.idempotencyKey ?? undefined,
      });
      return getRunOf(context, id);
    },
  }),
);
