import type { Tool } from "@sba/integrations/index";
import { builder } from "../builder.ts";
import { tools } from "./index.ts";

const ToolApproval = builder.enumType("ToolApproval", {
  values: {
    NEVER: { description: "Runs without asking." },
    ALWAYS: { description: "A person approves each call." },
  },
});

export const ToolRef = builder.objectRef<Tool>("Tool").implement({
  description: "Something that agents can do.",
  fields: (t) => ({
    name: t.exposeString("name"),
    version: t.exposeInt("version"),
    description: t.exposeString("description"),
    paramsSchema: t.field({
      type: "JSON",
      description: "JSON Schema (draft 2020-12) of the parameters.",
      resolve: (tool) => tool.paramsSchema,
    }),
    requires: t.stringList({
      description: "Permissions that the caller of a run needs, each of them.",
      resolve: (tool) => [...tool.requires],
    }),
    approval: t.field({ type: ToolApproval, resolve: (tool) => tool.approval }),
    sideEffect: t.exposeBoolean("sideEffect", { description: "True when a call changes something outside its run." }),
    idempotent: t.exposeBoolean("idempotent", {
      description: "True when a repeated call does nothing more than the first.",
    }),
    timeoutMs: t.exposeInt("timeoutMs"),
    definitionHash: t.exposeString("definitionHash", {
      description: "Changes with everything that a caller or an approver relies on.",
    }),
  }),
});

builder.queryField("tools", (t) =>
  t.field({
    type: [ToolRef],
    description: "Every tool that an agent can be given.",
    authScopes: { permission: "agent:read" },
    resolve: () => [...tools],
  }),
);
