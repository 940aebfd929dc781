import { requirePermission } from "@sba/platform/caller";
import { callerOf, connectionRef, defineLoader, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { RunRef, runById } from "../run/run.ref.ts";
import { noteErrors } from "./errors.ts";
import { deleteNote, findNotes, listNotes, noteScope, type Note, type NoteScope } from "./note.ts";

const noteById = defineLoader(findNotes, (note) => note.id);

const NoteScopeRef = builder.enumType("NoteScope", {
  values: {
    AGENT: { description: "One agent's own." },
    TENANT: { description: "Shared by all agents of the tenant." },
  } satisfies Record<NoteScope, object>,
});

const NoteRef = builder.objectRef<Note>("Note");
NoteRef.implement({
  description: "What an agent remembers from one run to the next, until it expires.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Note", id) }),
    scope: t.field({ type: NoteScopeRef, resolve: noteScope }),
    agentKey: t.string({
      nullable: true,
      description: "Whose it is; null for the tenant's.",
      resolve: (note) => (noteScope(note) === "TENANT" ? null : note.agentKey),
    }),
    key: t.exposeString("key", { description: "Unique within its scope and agent." }),
    text: t.exposeString("text"),
    createdAt: t.field({ type: "DateTime", resolve: ({ createdAt }) => createdAt }),
    updatedAt: t.field({ type: "DateTime", resolve: ({ updatedAt }) => updatedAt }),
    expiresAt: t.field({ type: "DateTime", resolve: ({ expiresAt }) => expiresAt }),
    run: t.field({
      type: RunRef,
      nullable: true,
      description: "The run that wrote it last.",
      authScopes: { permission: "run:read" },
      resolve: ({ runId }, _args, context) => (runId === null ? null : runById(context).load(runId)),
    }),
  }),
});

builder.asEntity(NoteRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: async ({ id }, context) => {
    requirePermission(callerOf(context), "note:read");
    const note = await noteById(context).load(decodeId("Note", id));
    if (!note) throw noteErrors.AGENT_NOTE_NOT_FOUND();
    return note;
  },
});

const NoteConnection = connectionRef(builder, "Note", NoteRef);

builder.queryField("notes", (t) =>
  t.field({
    type: NoteConnection,
    description: "What the tenant's agents remember, newest first.",
    authScopes: { permission: "note:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      agentKey: t.arg.string({ validate: { minLength: 1, maxLength: 100 }, description: "Of this agent alone." }),
    },
    resolve: async (_root, { first, after, agentKey }, context) =>
      toConnection(await listNotes(callerOf(context), { first, after }, { agentKey: agentKey ?? undefined }), {
        after,
        cursorOf: idCursor,
      }),
  }),
);

const DeleteNoteInput = builder.inputType("DeleteNoteInput", {
  fields: (t) => ({ noteId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

builder.mutationField("deleteNote", (t) =>
  t.field({
    type: NoteRef,
    description: "Makes agents forget a note, and returns what it was.",
    authScopes: { permission: "note:write" },
    args: { input: t.arg({ type: DeleteNoteInput, required: true }) },
    resolve: (_root, { input }, context) => deleteNote(callerOf(context), decodeId("Note", input.noteId)),
  }),
);
