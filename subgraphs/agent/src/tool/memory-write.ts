import { defineTool } from "@sba/integrations/index";
import { withTenant } from "@sba/platform/db";
import { z } from "zod";
import { MAX_NOTE_CHARACTERS, NOTE_SCOPES, noteScope, writeNote } from "../note/note.ts";

const DAY_SECONDS = 86_400;

/** The key of a note, as both tools of the memory take it. */
export const noteKey = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,99}$/, {
  error: "must be up to 100 lower case letters, digits, dots, hyphens and underscores",
});

/** Keeps a note for later runs. */
export const memoryWrite = defineTool({
  name: "memory.write",
  version: 1,
  description:
    "Remembers a short note for later conversations, over an earlier one of the same key. Keep facts and wishes that will matter " +
    "again, never secrets. Scope AGENT is yours alone, TENANT is shared by all agents of this business.",
  params: z.object({
    key: noteKey.describe("What it is about, as customer.acme.tone."),
    text: z.string().trim().min(1).max(MAX_NOTE_CHARACTERS),
    scope: z.enum(NOTE_SCOPES).default("AGENT"),
    ttlSeconds: z
      .int()
      .min(60)
      .max(366 * DAY_SECONDS)
      .default(90 * DAY_SECONDS)
      .describe("After how long it is forgotten; 90 days by default."),
  }),
  result: z.object({ key: z.string(), scope: z.enum(NOTE_SCOPES), expiresAt: z.iso.datetime() }),
  example: { key: "customer.acme.tone", text: "Prefers short answers." },
  requires: ["note:write"],
  approval: "NEVER",
  sideEffect: true,
  idempotent: true,
  timeoutMs: 10_000,
  execute: async ({ caller, callId, runId, agentKey }, params) => {
    const note = await withTenant(caller, (tx) => writeNote(tx, caller, { ...params, callId, runId, agentKey }));
    return { key: note.key, scope: noteScope(note), expiresAt: note.expiresAt.toISOString() };
  },
});
