/** What is metered. Quantities of different meters are different things and are never added up. */
export const METERS = [
  "run.started",
  "model.inputTokens",
  "model.outputTokens",
  "model.cachedAnswers",
  "tool.called",
  "knowledge.chunksIndexed",
  // What a provider reports beyond what was reserved: borne by the platform (overage.ts).
  "overage.inputTokens",
  "overage.outputTokens",
] as const;

export type Meter = (typeof METERS)[number];
