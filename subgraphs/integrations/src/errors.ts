import { defineErrors } from "@sba/platform/errors";

export const errors = defineErrors("integrations", {
  INTEGRATIONS_TOOL_PARAMS_INVALID: { kind: "invalid_input", message: "The tool does not accept these parameters." },
  INTEGRATIONS_TOOL_RESULT_INVALID: {
    kind: "upstream_failed",
    message: "The tool's result is not of the shape that it declares.",
  },
  INTEGRATIONS_TOOL_RESULT_TOO_LARGE: { kind: "upstream_failed", message: "The tool's result is too large." },
  INTEGRATIONS_TOOL_FAILED: { kind: "upstream_failed", message: "The tool failed." },
  INTEGRATIONS_TOOL_TIMED_OUT: { kind: "unavailable", message: "The tool did not answer in time." },
  INTEGRATIONS_TOOL_CANCELLED: { kind: "cancelled", message: "The tool call was cancelled." },
  INTEGRATIONS_TOOL_OUTCOME_UNKNOWN: {
    kind: "conflict",
    message: "The tool was called, but whether it did its work is not known: an operator has to say.",
  },
  INTEGRATIONS_TOOL_CALL_NOT_FOUND: { kind: "not_found", message: "There is no such tool call." },
  INTEGRATIONS_TOOL_CALL_NOT_UNKNOWN: {
    kind: "conflict",
    message: "The outcome of this tool call is not unknown: there is nothing to resolve.",
  },
  INTEGRATIONS_TOOL_RESOLUTION_INVALID: { kind: "invalid_input", message: "This is no result of the tool." },
  INTEGRATIONS_TOOL_RESOLVED_FAILED: {
    kind: "upstream_failed",
    message: "An operator found that the call did not do its work.",
  },
  INTEGRATIONS_TOOL_CALL_REUSED: {
    kind: "conflict",
    message: "This tool call's id belongs to a call with other parameters.",
  },
  INTEGRATIONS_WEBHOOK_ENDPOINT_INVALID: { kind: "invalid_input", message: "This is no webhook endpoint." },
  INTEGRATIONS_WEBHOOK_ENDPOINT_NAME_TAKEN: {
    kind: "conflict",
    message: "The tenant has a webhook endpoint of this name.",
  },
  INTEGRATIONS_WEBHOOK_ENDPOINT_NOT_FOUND: { kind: "not_found", message: "There is no such webhook endpoint." },
  INTEGRATIONS_WEBHOOK_UNREACHABLE: { kind: "unavailable", message: "The webhook endpoint cannot be reached." },
  INTEGRATIONS_WEBHOOK_REFUSED: { kind: "upstream_failed", message: "The webhook endpoint refused what was sent." },
  INTEGRATIONS_STATISTICS_WINDOW_INVALID: {
    kind: "invalid_input",
    message: "The window must end (to) after it begins (from), and at most 92 days after.",
  },
  INTEGRATIONS_TOOL_CALL_IN_PROGRESS: { kind: "conflict", message: "This tool call is still under way." },
});
