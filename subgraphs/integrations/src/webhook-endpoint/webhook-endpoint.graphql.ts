import { callerOf, connectionRef, defineLoader, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import {
  createWebhookEndpoint,
  deleteWebhookEndpoint,
  findWebhookEndpoints,
  listWebhookEndpoints,
  secretOf,
  type WebhookEndpoint,
} from "./webhook-endpoint.ts";

const endpointById = defineLoader(findWebhookEndpoints, (endpoint) => endpoint.id);

const WebhookEndpointRef = builder.objectRef<WebhookEndpoint>("WebhookEndpoint").implement({
  description: "Where the tenant lets its runs send data to. What is sent is signed as Standard Webhooks has it.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("WebhookEndpoint", id) }),
    name: t.exposeString("name", { description: "What agents name it by." }),
    url: t.exposeString("url"),
    honoursIdempotencyKeys: t.exposeBoolean("honoursIdempotencyKeys", {
      description: "Whether a repeat with the same Idempotency-Key does nothing more than the first.",
    }),
    createdAt: t.field({ type: "DateTime", resolve: ({ createdAt }) => createdAt }),
  }),
});
builder.asEntity(WebhookEndpointRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => endpointById(context).load(decodeId("WebhookEndpoint", id)),
});

const WebhookEndpointConnection = connectionRef(builder, "WebhookEndpoint", WebhookEndpointRef);

builder.queryField("webhookEndpoints", (t) =>
  t.field({
    type: WebhookEndpointConnection,
    description: "The tenant's webhook endpoints, newest first.",
    authScopes: { permission: "integration:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, page, context) =>
      toConnection(await listWebhookEndpoints(callerOf(context), page), { after: page.after, cursorOf: idCursor }),
  }),
);

interface Creation {
  readonly webhookEndpoint: WebhookEndpoint;
  readonly secret: string;
}

const CreationRef = builder.objectRef<Creation>("CreateWebhookEndpointPayload").implement({
  description: "A webhook endpoint that was just made.",
  fields: (t) => ({
    webhookEndpoint: t.field({ type: WebhookEndpointRef, resolve: ({ webhookEndpoint }) => webhookEndpoint }),
    secret: t.exposeString("secret", { description: "What is sent is signed with it. It is shown this once." }),
  }),
});

const CreateWebhookEndpointInput = builder.inputType("CreateWebhookEndpointInput", {
  fields: (t) => ({
    name: t.string({ required: true, validate: { minLength: 1, maxLength: 60 } }),
    url: t.string({ required: true, validate: { minLength: 1, maxLength: 2_048 } }),
    honoursIdempotencyKeys: t.boolean({
      required: true,
      defaultValue: false,
      description: "True only when the receiver does nothing more at a repeat: what was cut off is then sent again.",
    }),
    secret: t.string({
      validate: { maxLength: 100 },
      description: "whsec_ and 24 to 64 bytes in base64; made when absent.",
    }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

const DeleteWebhookEndpointInput = builder.inputType("DeleteWebhookEndpointInput", {
  fields: (t) => ({ webhookEndpointId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

builder.mutationFields((t) => ({
  createWebhookEndpoint: t.field({
    type: CreationRef,
    description: "Lets runs of the tenant send data to a URL, of a host that the platform's operator allows.",
    authScopes: { permission: "integration:manage" },
    args: { input: t.arg({ type: CreateWebhookEndpointInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const { name, url, honoursIdempotencyKeys, secret, idempotencyKey } = input;
      const id = await createWebhookEndpoint(callerOf(context), {
        ...{ name, url, honoursIdempotencyKeys },
        secret: secret ?? undefined,
        idempotencyKey: idempotencyKey ?? undefined,
      });
      const endpoint = await endpointById(context).load(id);
      // A repeat of what made it may come after it was deleted.
      if (!endpoint) throw errors.INTEGRATIONS_WEBHOOK_ENDPOINT_NOT_FOUND();
      return { webhookEndpoint: endpoint, secret: secretOf(endpoint) };
    },
  }),
  deleteWebhookEndpoint: t.field({
    type: "ID",
    description: "Ends a webhook endpoint for good and returns its id: what is sent to it from then on fails.",
    authScopes: { permission: "integration:manage" },
    args: { input: t.arg({ type: DeleteWebhookEndpointInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      await deleteWebhookEndpoint(callerOf(context), decodeId("WebhookEndpoint", input.webhookEndpointId));
      return input.webhookEndpointId;
    },
  }),
}));
