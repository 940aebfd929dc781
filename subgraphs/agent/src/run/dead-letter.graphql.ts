import { callerOf, connectionRef, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { PrincipalStub } from "../stubs.graphql.ts";
import { listDeadLetters, replayDeadLetter, type DeadLetter } from "./dead-letter.ts";
import { RunRef, runById } from "./run.ref.ts";

const DeadLetterRef = builder.objectRef<DeadLetter>("DeadLetter").implement({
  description:
    "A run that was given up: a step of it failed every time it was tried, or no worker could even begin one.",
  fields: (t) => ({
    id: t.id({ resolve: (letter) => encodeId("DeadLetter", letter.id) }),
    run: t.field({
      type: RunRef,
      nullable: true,
      authScopes: { permission: "run:read" },
      resolve: (letter, _args, context) => runById(context).load(letter.runId),
    }),
    reason: t.exposeString("reason", {
      description: "The code of what went wrong the last time: an error, or WORKER_LOST.",
    }),
    attempts: t.exposeInt("attempts", { description: "How often it was tried in vain." }),
    failedAt: t.field({ type: "DateTime", resolve: (letter) => letter.failedAt }),
    replayedAt: t.field({ type: "DateTime", nullable: true, resolve: (letter) => letter.replayedAt }),
    replayedBy: t.field({
      type: PrincipalStub,
      nullable: true,
      resolve: ({ replayedBy }) => (replayedBy === null ? null : { id: encodeId("Principal", replayedBy) }),
    }),
    replayedAs: t.field({
      type: RunRef,
      nullable: true,
      description: "The run that was started in its place.",
      authScopes: { permission: "run:read" },
      resolve: ({ replacedBy }, _args, context) => (replacedBy === null ? null : runById(context).load(replacedBy)),
    }),
  }),
});

const DeadLetterConnection = connectionRef(builder, "DeadLetter", DeadLetterRef);

builder.queryField("deadLetters", (t) =>
  t.field({
    type: DeadLetterConnection,
    description: "The tenant's runs that were given up, newest first.",
    authScopes: { permission: "run:operate" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
      isReplayed: t.arg.boolean({ description: "Only those that were, or were not, replayed." }),
    },
    resolve: async (_root, { isReplayed, ...page }, context) => {
      const letters = await listDeadLetters(callerOf(context), page, { isReplayed: isReplayed ?? undefined });
      return toConnection(letters, { after: page.after, cursorOf: idCursor });
    },
  }),
);

const ReplayDeadLetterInput = builder.inputType("ReplayDeadLetterInput", {
  fields: (t) => ({
    runId: t.id({ required: true, validate: { maxLength: 64 } }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

builder.mutationField("replayDeadLetter", (t) =>
  t.field({
    type: RunRef,
    description:
      "Starts a run that was given up once more, as a new run of the same input and version in the same thread; once. The failed one stays as it is.",
    authScopes: { permission: "run:operate" },
    args: { input: t.arg({ type: ReplayDeadLetterInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const runId = decodeId("Run", input.runId);
      const id = await replayDeadLetter(callerOf(context), {
        runId,
        idempotencyKey: input.idempotencyKey ?? undefined,
      });
      return (await runById(context).load(id))!;
    },
  }),
);
