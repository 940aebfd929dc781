import { acknowledgeEvents, CONSUMER_NAME, type Acknowledgement } from "@sba/platform/consumers";
import { callerOf } from "@sba/platform/graphql";
import { builder } from "../builder.ts";

/** Cursors that the server keeps, of whichever stream: the journal is the platform's, and has no domain of its own. */

const AcknowledgeEventsInput = builder.inputType("AcknowledgeEventsInput", {
  fields: (t) => ({
    consumer: t.string({
      required: true,
      description: "A name of the caller's own choice; another principal's of the same name is another.",
      validate: { regex: CONSUMER_NAME },
    }),
    cursor: t.field({ type: "Cursor", required: true, validate: { maxLength: 512 } }),
  }),
});

const EventConsumerRef = builder.objectRef<Acknowledgement>("EventConsumer").implement({
  description: "How far a consumer has dealt with a stream.",
  fields: (t) => ({
    name: t.exposeString("consumer"),
    cursor: t.field({ type: "Cursor", resolve: ({ cursor }) => cursor }),
  }),
});

builder.mutationField("acknowledgeEvents", (t) =>
  t.field({
    type: EventConsumerRef,
    description:
      "Keeps the cursor for a consumer: a subscription that names the consumer, and no cursor, goes on after it. An earlier cursor takes nothing back.",
    authScopes: { authenticated: true },
    args: { input: t.arg({ type: AcknowledgeEventsInput, required: true }) },
    resolve: (_root, { input }, context) => acknowledgeEvents(callerOf(context), input),
  }),
);
