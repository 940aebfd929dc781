import { defineMessages } from "./messages.ts";

/** What people call what is metered. */
export const meterTexts = defineMessages(
  {
    meterName: (meter: string) =>
      ({
        "run.started": "Runs",
        "model.inputTokens": "Tokens read",
        "model.outputTokens": "Tokens written",
        "model.cachedAnswers": "Answers from the cache",
        "tool.called": "Tool calls",
        "knowledge.chunksIndexed": "Passages indexed",
        "overage.inputTokens": "Tokens read beyond reservation",
        "overage.outputTokens": "Tokens written beyond reservation",
      })[meter] ?? meter,
  },
  {
    meterName: (meter) =>
      ({
        "run.started": "Proses",
        "model.inputTokens": "Token dibaca",
        "model.outputTokens": "Token ditulis",
        "model.cachedAnswers": "Jawaban dari singgahan",
        "tool.called": "Panggilan alat",
        "knowledge.chunksIndexed": "Bagian diindeks",
        "overage.inputTokens": "Token dibaca di luar cadangan",
        "overage.outputTokens": "Token ditulis di luar cadangan",
      })[meter] ?? meter,
  },
);
