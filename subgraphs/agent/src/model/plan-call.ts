import { z } from "zod";
import type { ModelTool } from "./model.ts";

/** How a model says what it would do: as a call of a function that is no tool. Nothing is called by it. */

/** The function's name. No tool has it: theirs begin with a domain. */
export const PLAN_CALL = "submit_plan";

const MAX_STEPS = 20;
const MAX_TITLE = 200;

/** What the call carries, for a model that may use these tools. */
export function planParams(tools: readonly Pick<ModelTool, "name">[]) {
  const [first, ...others] = tools.map(({ name }) => name);
  const tool = first === undefined ? z.null() : z.enum([first, ...others]).nullable();
  const step = z.object({
    title: z
      .string()
      .trim()
      .min(1)
      .max(MAX_TITLE)
      .describe("What is done, in a few words for the person who reads the plan."),
    tool: tool.default(null).describe("The tool that the step calls; null for one that only thinks or writes."),
  });
  return z.object({ steps: z.array(step).min(1).max(MAX_STEPS).describe("In the order in which they are done.") });
}

export interface PlannedStep {
  readonly title: string;
  /** The name of a tool. */
  readonly tool: string | null;
}
