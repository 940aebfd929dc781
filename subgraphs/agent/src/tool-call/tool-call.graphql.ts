import { listUnknownToolCalls, RESOLUTIONS } from "@sba/integrations/index";
import { callerOf, connectionRef, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { ToolCallRef, toolCallById } from "../step/step.graphql.ts";
import { resolveToolCall } from "./tool-call.ts";

const ToolCallConnection = connectionRef(builder, "ToolCall", ToolCallRef);

builder.queryField("unknownToolCalls", (t) =>
  t.field({
    type: ToolCallConnection,
    description:
      "Calls that were cut off and must not be repeated: whoever waits for them goes on when an operator says what became of them. Newest first.",
    authScopes: { permission: "toolcall:resolve" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, page, context) =>
      toConnection(await listUnknownToolCalls(callerOf(context), page), { after: page.after, cursorOf: idCursor }),
  }),
);

/** As results of tools are stored. */
const MAX_RESULT_BYTES = 256 * 1024;
const fitsResult = (value: unknown): boolean => Buffer.byteLength(JSON.stringify(value)) <= MAX_RESULT_BYTES;

const ToolCallResolution = builder.enumType("ToolCallResolution", {
  description: "What an operator says of a call. RETRY calls the tool once more, with the same idempotency key.",
  values: RESOLUTIONS,
});

const ResolveToolCallInput = builder.inputType("ResolveToolCallInput", {
  fields: (t) => ({
    toolCallId: t.id({ required: true, validate: { maxLength: 64 } }),
    outcome: t.field({ type: ToolCallResolution, required: true }),
    result: t.field({
      type: "JSON",
      description: "What the tool would have answered, 256 KiB at most; with SUCCEEDED only.",
      validate: { refine: [fitsResult, { message: "must be JSON of at most 256 KiB" }] },
    }),
    reason: t.string({ validate: { maxLength: 2_000 } }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

builder.mutationField("resolveToolCall", (t) =>
  t.field({
    type: ToolCallRef,
    description:
      "Says, once, what became of a call whose outcome is unknown. Who and when come from the token and the server's clock.",
    authScopes: { permission: "toolcall:resolve" },
    args: { input: t.arg({ type: ResolveToolCallInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const toolCallId = decodeId("ToolCall", input.toolCallId);
      await resolveToolCall(callerOf(context), {
        toolCallId,
        outcome: input.outcome,
        result: input.result ?? undefined,
        reason: input.reason ?? undefined,
        idempotencyKey: input.idempotencyKey ?? undefined,
      });
      return (await toolCallById(context).clear(toolCallId).load(toolCallId))!;
    },
  }),
);
