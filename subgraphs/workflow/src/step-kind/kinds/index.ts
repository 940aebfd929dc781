import type { StepKind } from "../step-kind.ts";
import { agentRun } from "./agent-run.ts";
import { approval } from "./approval.ts";
import { toolCall } from "./tool-call.ts";

/** Every kind of step. A new kind is a file and a line here; the contract suite runs over all. */
export const kinds: readonly StepKind[] = [agentRun, toolCall, approval];

export function findKind(name: string): StepKind | undefined {
  return kinds.find((kind) => kind.name === name);
}
