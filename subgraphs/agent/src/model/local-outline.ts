import type { PlannedTurn } from "./local-plan.ts";
import type { ModelRequest, ModelToolCall } from "./model.ts";
import { PLAN_CALL, type PlannedStep } from "./plan-call.ts";

/** What the built-in model says it would do: its first turn, and by rule what follows from it. Pure. */

/** The plan that begins with this turn, as the call that submits it. */
export function outline(first: PlannedTurn, request: ModelRequest): PlannedTurn {
  const params = { steps: stepsOf(first, request) };
  return { text: "", toolCalls: [{ id: "plan_1", name: PLAN_CALL, params }], asksPerson: false };
}

function stepsOf({ toolCalls: [call], asksPerson }: PlannedTurn, { tools }: ModelRequest): PlannedStep[] {
  if (asksPerson) return [{ title: "Ask what is wanted", tool: null }];
  if (!call) return [{ title: "Answer", tool: null }];
  const begins: PlannedStep = { title: titleOf(call), tool: call.name };
  if (call.name !== "knowledge.search") return [begins, { title: "Say what was done", tool: null }];
  const answers: PlannedStep = { title: "Answer from the passages that were found", tool: null };
  const writes: PlannedStep = { title: "Write the answer and its sources to a document", tool: "document.render" };
  return tools.some(({ name }) => name === writes.tool) ? [begins, answers, writes] : [begins, answers];
}

function titleOf({ name, params }: ModelToolCall): string {
  if (name === "knowledge.search") return "Search the documents";
  const { title } = params as { readonly title?: unknown };
  return name === "task.create" && typeof title === "string" ? `Create the task “${shorten(title)}”` : `Call ${name}`;
}

/** A plan's titles have at most 200 characters. */
function shorten(title: string): string {
  const characters = [...title];
  return characters.length <= 80 ? title : `${characters.slice(0, 80).join("")}…`;
}
