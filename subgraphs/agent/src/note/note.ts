import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { ints, texts } from "@sba/platform/columns";
import { systemTx, withTenant, type Tx } from "@sba/platform/db";
import type { Note } from "@sba/platform/generated/prisma/client";
import { openGroupRead } from "@sba/platform/group";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { noteErrors } from "./errors.ts";

/** What agents remember from one run to the next: short texts under keys, an agent's own or the tenant's, until they expire. */
export type { Note };

/** AGENT: of one agent. TENANT: of all agents of the tenant. */
export const NOTE_SCOPES = ["AGENT", "TENANT"] as const;
export type NoteScope = (typeof NOTE_SCOPES)[number];

/** How `agentKey` is stored for a note of the tenant: no agent has this key. */
const OF_TENANT = "";

export const MAX_NOTE_CHARACTERS = 8_000;
/** Of one agent, and of the tenant itself. */
export const MAX_NOTES = 500;

/** Whose note it is. */
export function noteScope({ agentKey }: Pick<Note, "agentKey">): NoteScope {
  return agentKey === OF_TENANT ? "TENANT" : "AGENT";
}

/** The `agentKey` of a scope. @throws AGENT_NOTE_WITHOUT_AGENT */
function ownerOf(scope: NoteScope, agentKey: string | undefined): string {
  if (scope === "TENANT") return OF_TENANT;
  if (agentKey === undefined) throw noteErrors.AGENT_NOTE_WITHOUT_AGENT();
  return agentKey;
}

export interface WriteNoteInput {
  /** UUID of the tool call: a call that is repeated after a later one changes nothing. */
  readonly callId: string;
  readonly runId?: string | undefined;
  readonly scope: NoteScope;
  /** The agent that writes. */
  readonly agentKey: string | undefined;
  readonly key: string;
  readonly text: string;
  readonly ttlSeconds: number;
}

/**
 * Writes a note down, over an earlier one of the same key. Idempotent by `callId`.
 * @throws AGENT_NOTE_WITHOUT_AGENT, AGENT_NOTES_FULL
 */
export async function writeNote(tx: Tx, caller: Caller, input: WriteNoteInput): Promise<Note> {
  const owner = ownerOf(input.scope, input.agentKey);
  const { callId, runId, key, text, ttlSeconds } = input;
  // Sent together: one round trip. The lock makes the count hold, whoever else writes.
  const [, [written]] = await Promise.all([
    tx.sql`SELECT pg_advisory_xact_lock(hashtextextended(${`agent.note ${caller.tenantId} ${owner}`}, 0))`,
    // Ids of calls are ordered as they were made, so the note stays with the latest of them.
    tx.sql<Note>`
      INSERT INTO agent.note AS n (tenant_id, id, agent_key, key, text, call_id, run_id, expires_at)
      SELECT ${caller.tenantId}, ${newId()}, ${owner}, ${key}, ${text}, ${callId}, ${runId ?? null},
             clock_timestamp() + make_interval(secs => ${ttlSeconds})
      WHERE (SELECT count(*) FROM agent.note WHERE tenant_id = ${caller.tenantId} AND agent_key = ${owner} AND key <> ${key}
               AND expires_at > clock_timestamp()) < ${MAX_NOTES}
      ON CONFLICT (tenant_id, agent_key, key) DO UPDATE
        SET text = EXCLUDED.text, call_id = EXCLUDED.call_id, run_id = EXCLUDED.run_id, expires_at = EXCLUDED.expires_at,
            updated_at = clock_timestamp()
        WHERE n.call_id < EXCLUDED.call_id
      RETURNING *`,
  ]);
  const note = written ?? (await findNote(tx, caller, owner, key));
  if (!note) throw noteErrors.AGENT_NOTES_FULL({ details: { limit: MAX_NOTES } });
  return note;
}

async function findNote(tx: Tx, caller: Caller, owner: string, key: string): Promise<Note | undefined> {
  const [note] = await tx.sql<Note>`
    SELECT * FROM agent.note WHERE tenant_id = ${caller.tenantId} AND agent_key = ${owner} AND key = ${key}`;
  return note;
}

export interface ReadNotesInput {
  /** The agent that reads: it sees its own notes and the tenant's. Without one, the tenant's. */
  readonly agentKey: string | undefined;
  /** All when absent. */
  readonly key?: string | undefined;
  /** 1 or more. */
  readonly first: number;
}

/** The notes that an agent sees, the latest first. */
export async function readNotes(caller: Caller, input: ReadNotesInput): Promise<Page<Note>> {
  return toPage(await readNotesOf(caller, input), input.first);
}

const readNotesOf = openGroupRead<ReadNotesInput, Note[]>(async (tx, asked) => {
  const notes = await tx.sql<Note & { readonly place: number }>`
    SELECT place, note.* FROM (
      SELECT i AS place, (${texts(asked, ({ agentKey }) => agentKey ?? OF_TENANT)}::text[])[i] AS agent_key,
             (${texts(asked, ({ key }) => key ?? null)}::text[])[i] AS key, (${ints(asked, ({ first }) => first + 1)}::int[])[i] AS most
      FROM generate_series(1, ${asked.length}::int) AS i) AS asked
    CROSS JOIN LATERAL (
      SELECT * FROM agent.note
      WHERE tenant_id = ${tx.tenantId} AND agent_key IN (${OF_TENANT}, asked.agent_key) AND expires_at > clock_timestamp()
        AND (asked.key IS NULL OR key = asked.key)
      ORDER BY updated_at DESC, id DESC LIMIT asked.most) AS note
    ORDER BY place, updated_at DESC, id DESC`;
  const byPlace = Map.groupBy(notes, ({ place }) => place);
  return asked.map((_, index) => (byPlace.get(index + 1) ?? []).map(({ place: _place, ...note }) => note));
});

export interface NoteFilter {
  /** The notes of this agent alone. */
  readonly agentKey?: string | undefined;
}

/** The tenant's notes, newest first. */
export async function listNotes(
  caller: Caller,
  { first, after }: PageRequest,
  { agentKey }: NoteFilter = {},
): Promise<Page<Note>> {
  const before = decodeIdCursor(after) ?? null;
  const rows = await withTenant(
    caller,
    (tx) => tx.sql<Note>`
    SELECT * FROM agent.note
    WHERE tenant_id = ${caller.tenantId} AND expires_at > clock_timestamp()
      AND (${before}::uuid IS NULL OR id < ${before}::uuid)
      AND (${agentKey ?? null}::text IS NULL OR agent_key = ${agentKey ?? null})
    ORDER BY id DESC LIMIT ${first + 1}`,
  );
  return toPage(rows, first);
}

/** The notes with these UUIDs that the tenant has. */
export function findNotes(caller: Caller, ids: readonly string[]): Promise<Note[]> {
  return reader(caller).note.findMany({ where: { id: { in: [...ids] }, expiresAt: { gt: new Date() } } });
}

/** Deletes a note and returns what it was. @throws AGENT_NOTE_NOT_FOUND */
export async function deleteNote(caller: Caller, id: string): Promise<Note> {
  return withTenant(caller, async (tx) => {
    const [note] = await tx.sql<Note>`
      DELETE FROM agent.note WHERE tenant_id = ${caller.tenantId} AND id = ${id} AND expires_at > clock_timestamp() RETURNING *`;
    if (!note) throw noteErrors.AGENT_NOTE_NOT_FOUND();
    const details = { agentKey: note.agentKey, key: note.key };
    await recordAudit(tx, caller, { action: "agent.note.deleted", target: encodeId("Note", id), details });
    return note;
  });
}

const FORGOTTEN_AT_A_TIME = 1_000;

/** Forgets notes of all tenants that have expired, and returns how many; called by the schedules. */
export async function forgetExpiredNotes(): Promise<number> {
  return systemTx("notes: forget expired ones", async (tx) => {
    const forgotten = await tx.sql<Pick<Note, "id">>`
      DELETE FROM agent.note WHERE ctid IN (
        SELECT ctid FROM agent.note WHERE expires_at <= clock_timestamp() LIMIT ${FORGOTTEN_AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING id`;
    return forgotten.length;
  });
}
