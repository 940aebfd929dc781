import { defineErrors } from "@sba/platform/errors";

export const modelErrors = defineErrors("agent.model", {
  AGENT_MODEL_UNKNOWN: { kind: "unavailable", message: "No provider that is configured here serves this model." },
  AGENT_MODEL_UNAVAILABLE: { kind: "unavailable", message: "The model's provider is not answering as it should." },
  AGENT_MODEL_RATE_LIMITED: { kind: "rate_limited", message: "The model's provider asks for a pause." },
  AGENT_MODEL_TIMED_OUT: { kind: "unavailable", message: "The model's provider fell silent." },
  AGENT_MODEL_CREDENTIALS_REFUSED: {
    kind: "upstream_failed",
    message: "The model's provider refused the platform's credentials.",
  },
  AGENT_MODEL_REQUEST_REFUSED: { kind: "upstream_failed", message: "The model's provider refused the request." },
  AGENT_PLAN_INVALID: { kind: "upstream_failed", message: "What the model answered is no plan." },
  AGENT_MODEL_REFUSED: {
    kind: "upstream_failed",
    message: "The model declined to answer: its content filter stopped it.",
  },
});
