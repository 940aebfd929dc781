/** What is metered. Quantities of different meters are different things and are never added up. */
export const METERS = [
  "run.started",
  "model.inputTokens",
  "model.outputTokens",
  "model.cachedAnswers",
  "tool.called",
  "knowledge.chunksIndexed",
] as const;

export type Meter = (typeof METERS)[number];
