import { defineErrors } from "@sba/platform/errors";

export const noteErrors = defineErrors("agent.note", {
  AGENT_NOTE_NOT_FOUND: { kind: "not_found", message: "There is no such note." },
  AGENT_NOTE_WITHOUT_AGENT: { kind: "invalid_input", message: "Only a run of an agent has notes of its own." },
  AGENT_NOTES_FULL: { kind: "conflict", message: "There is no room for another note: overwrite one that is there." },
});
