import { defineEvent, streamOf } from "@sba/platform/events";
import { z } from "zod";

/** What integrations announces. */

export const toolCallResolved = defineEvent({
  type: "integrations.toolCall.resolved",
  version: 1,
  description:
    "An operator said what became of a call whose outcome was unknown; REQUESTED when it is to be called once more.",
  payload: z.object({ toolCallId: z.uuid(), runId: z.uuid().nullable(), status: z.string() }),
  announced: true,
});

/** The stream of one tool call. */
export function toolCallStream(toolCallId: string): string {
  return streamOf("toolCall", toolCallId);
}
