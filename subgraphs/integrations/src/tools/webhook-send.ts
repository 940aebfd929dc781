import { encodeId } from "@sba/platform/ids";
import { z } from "zod";
import { errors } from "../errors.ts";
import { defineTool } from "../tool/tool.ts";
import { deliver } from "../webhook-endpoint/delivery.ts";
import { findEndpointByName, secretOf } from "../webhook-endpoint/webhook-endpoint.ts";

/**
 * Sends data out of the platform. Whether it may be repeated is what the tenant said of the endpoint. Nobody is asked before: the
 * places that can be reached were chosen by an administrator.
 */
export const webhookSend = defineTool({
  name: "webhook.send",
  version: 1,
  description: "Sends a JSON object to one of the organisation's webhook endpoints, by the endpoint's name.",
  params: z.object({
    endpoint: z.string().min(1).max(60).describe("The name of a webhook endpoint."),
    payload: z.record(z.string(), z.unknown()).describe("The JSON object to send."),
  }),
  result: z.object({ status: z.int(), response: z.string() }),
  example: { endpoint: "orders", payload: { order: 42 } },
  requires: ["webhook:send"],
  approval: "NEVER",
  sideEffect: true,
  idempotent: false,
  isRepeatable: async (caller, { endpoint }) =>
    (await findEndpointByName(caller, endpoint))?.honoursIdempotencyKeys ?? false,
  // Three attempts of eight seconds, and the pauses between them.
  timeoutMs: 30_000,
  execute: async ({ caller, callId, signal }, { endpoint: name, payload }) => {
    const endpoint = await findEndpointByName(caller, name);
    if (!endpoint) throw errors.INTEGRATIONS_WEBHOOK_ENDPOINT_NOT_FOUND({ details: { name } });
    const { url, honoursIdempotencyKeys } = endpoint;
    const target = { url, honoursIdempotencyKeys, secret: secretOf(endpoint) };
    return deliver(target, { id: encodeId("ToolCall", callId), payload, signal });
  },
});
