import { defineErrors } from "@sba/platform/errors";

export const artifactErrors = defineErrors("agent.artifact", {
  AGENT_ARTIFACT_NOT_FOUND: { kind: "not_found", message: "There is no such artifact." },
});
