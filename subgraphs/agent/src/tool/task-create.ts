import { defineTool } from "@sba/integrations/index";
import { encodeId } from "@sba/platform/ids";
import { z } from "zod";
import { createTask } from "../task/task.ts";

/** Writes a task down for people. Somebody approves it first. */
export const taskCreate = defineTool({
  name: "task.create",
  version: 1,
  description: "Creates a task for the people of this business. A person approves it first and may refuse.",
  params: z.object({
    title: z.string().trim().min(1).max(200),
    description: z.string().max(10_000).optional(),
    dueAt: z.iso.datetime({ offset: true }).optional().describe("RFC 3339 with a zone."),
  }),
  result: z.object({ taskId: z.string() }),
  example: { title: "Call the supplier", dueAt: "2026-12-01T09:00:00Z" },
  requires: ["task:create"],
  approval: "ALWAYS",
  sideEffect: true,
  idempotent: true,
  timeoutMs: 10_000,
  execute: async ({ caller, callId, runId }, { title, description, dueAt }) => {
    const due = dueAt === undefined ? undefined : new Date(dueAt);
    await createTask(caller, { id: callId, runId, title, description, dueAt: due });
    return { taskId: encodeId("Task", callId) };
  },
});
