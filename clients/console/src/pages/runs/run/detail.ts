import type { RunsDetailQuery } from "../../../generated/runs/graphql.ts";

export type RunDetail = RunsDetailQuery["run"];

/** The first words of the prompt; all of it is on the page. */
export function titleOf(prompt: string): string {
  const line = prompt.trim().split("\n", 1)[0] ?? "";
  return line.length > 90 ? `${line.slice(0, 89)}…` : line;
}
