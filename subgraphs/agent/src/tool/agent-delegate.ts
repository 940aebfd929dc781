import { defineTool } from "@sba/integrations/index";
import { z } from "zod";
import { errors } from "../errors.ts";

/** The name of the tool by which a run has another agent do a part of its work. */
export const DELEGATE = "agent.delegate";

/** What the work may be given at the most is what the run has itself. */
const params = z.object({
  agentKey: z.string().min(1).max(100).describe("Which agent does the work."),
  prompt: z.string().min(1).max(100_000).describe("What it is to do; it knows nothing of this conversation."),
  budgetMicros: z.int().positive().optional().describe("What it may cost at most, in millionths."),
  maxSteps: z.int().min(1).max(200).optional(),
  timeoutSeconds: z.int().min(1).max(604_800).optional(),
});
export type DelegateParams = z.output<typeof params>;

/** Has another agent do work, as a run of its own. The loop of the run begins it and waits for it (`run/child.ts`). */
export const agentDelegate = defineTool({
  name: DELEGATE,
  version: 1,
  description:
    "Has another agent do a part of the work and returns its answer. It may use no tool that you do not have, and spends from your budget.",
  params,
  result: z.object({ runId: z.string(), output: z.string().nullable() }),
  example: { agentKey: "handbook", prompt: "How many days of annual leave do employees receive?" },
  requires: ["run:start"],
  approval: "NEVER",
  sideEffect: true,
  idempotent: true,
  timeoutMs: 10_000,
  // Called in any other way than by a run, there is nobody who could wait for the work.
  execute: () => Promise.reject(errors.AGENT_DELEGATION_OUTSIDE_RUN()),
});
