import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf, eventually } from "@sba/testkit/fixtures";
import { execute, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { schema } from "../schema.ts";
import { forgetExpiredNotes, MAX_NOTES, readNotes, writeNote, type Note, type WriteNoteInput } from "./note.ts";

const database = useDatabase();

const write = (caller: Caller, given: Partial<WriteNoteInput> = {}): Promise<Note> =>
  withTenant(caller, (tx) =>
    writeNote(tx, caller, {
      callId: newId(),
      scope: "AGENT",
      agentKey: "support",
      key: "tone",
      text: "Short.",
      ttlSeconds: 3_600,
      ...given,
    }),
  );

async function textsOf(caller: Caller, agentKey?: string, key?: string): Promise<string[]> {
  const { items } = await readNotes(caller, { agentKey, key, first: 50 });
  return items.map(({ text }) => text);
}

const expire = ({ id }: Note) =>
  database().owner.query("UPDATE agent.note SET expires_at = clock_timestamp() - interval '1 second' WHERE id = $1", [
    id,
  ]);

describe("a note", () => {
  it("is an agent's own or the tenant's, and seen by none else", async () => {
    const caller = aCaller();
    await write(caller, { text: "Support's." });
    await write(caller, { text: "Sales'.", agentKey: "sales" });
    await write(caller, { text: "Everybody's.", scope: "TENANT" });
    expect(await textsOf(caller, "support")).toEqual(["Everybody's.", "Support's."]);
    expect(await textsOf(caller, "sales")).toEqual(["Everybody's.", "Sales'."]);
    expect(await textsOf(caller)).toEqual(["Everybody's."]);
    expect(await textsOf(aCaller(), "support")).toEqual([]);
  });

  it("is read by many at one moment, each what they asked for", async () => {
    const caller = aCaller();
    await write(caller, { key: "tone", text: "Support's tone." });
    await write(caller, { key: "hours", text: "Support's hours." });
    await write(caller, { text: "Sales' tone.", agentKey: "sales" });
    await write(caller, { text: "Everybody's tone.", scope: "TENANT" });
    const latest = readNotes(caller, { agentKey: "support", first: 1 });
    const read = [textsOf(caller, "support", "hours"), textsOf(caller, "sales"), textsOf(caller, "sales", "hours")];
    expect(await Promise.all([...read, textsOf(caller, undefined, "tone"), textsOf(aCaller(), "support")])).toEqual([
      ["Support's hours."],
      ["Everybody's tone.", "Sales' tone."],
      [],
      ["Everybody's tone."],
      [],
    ]);
    const { items, hasNextPage } = await latest;
    expect({ texts: items.map(({ text }) => text), hasNextPage }).toEqual({
      texts: ["Everybody's tone."],
      hasNextPage: true,
    });
  });

  it("is written over by a later call of the same key, whoever started its run", async () => {
    const caller = aCaller();
    const first = await write(caller, { text: "Short." });
    const runId = newId();
    const second = await write(aColleagueOf(caller), { text: "Long.", ttlSeconds: 60, runId });
    expect(second).toMatchObject({ id: first.id, createdAt: first.createdAt, text: "Long.", runId });
    expect(second.updatedAt.getTime()).toBeGreaterThanOrEqual(first.updatedAt.getTime());
    expect(second.expiresAt.getTime()).toBeLessThan(first.expiresAt.getTime());
    expect(await textsOf(caller, "support", "tone")).toEqual(["Long."]);
  });

  it("stays what the later call wrote when the earlier one is repeated", async () => {
    const caller = aCaller();
    const [earlier, later] = [newId(), newId()];
    await write(caller, { callId: earlier, text: "Earlier." });
    const written = await write(caller, { callId: later, text: "Later." });
    expect(await write(caller, { callId: earlier, text: "Earlier." })).toEqual(written);
    expect(await write(caller, { callId: later, text: "Later." })).toEqual(written);
    expect(await textsOf(caller, "support")).toEqual(["Later."]);
  });

  it("is forgotten when it expires, and then for good; others are not", async () => {
    const caller = aCaller();
    const expired = await write(caller, { text: "Old." });
    await write(aCaller(), { text: "Another's." });
    await expire(expired);
    expect(await textsOf(caller, "support")).toEqual([]);
    expect(await textsOf(caller, "support", "tone")).toEqual([]);
    expect(await forgetExpiredNotes()).toBe(1);
    expect(await forgetExpiredNotes()).toBe(0);
    const { rows } = await database().owner.query(
      "SELECT count(*)::int AS count FROM agent.note WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ count: 0 }]);
  });

  it("belongs to somebody: outside of an agent's run there are only the tenant's", async () => {
    const caller = aCaller();
    await expect(write(caller, { agentKey: undefined })).rejects.toMatchObject({ code: "AGENT_NOTE_WITHOUT_AGENT" });
    await write(caller, { agentKey: undefined, scope: "TENANT", text: "Everybody's." });
    expect(await textsOf(caller)).toEqual(["Everybody's."]);
  });
});

describe("the room for notes", () => {
  /** One note short of full. */
  async function almostFull(): Promise<Caller> {
    const caller = aCaller();
    await database().owner.query(
      `INSERT INTO agent.note (tenant_id, id, agent_key, key, text, call_id, expires_at)
       SELECT $1, gen_random_uuid(), 'support', 'k' || n, 'x', $2, clock_timestamp() + interval '1 hour' FROM generate_series(1, $3::int) AS n`,
      [caller.tenantId, newId(), MAX_NOTES - 1],
    );
    return caller;
  }

  it("ends at its limit for each agent, also when many write at once, and lets notes be written over", async () => {
    const caller = await almostFull();
    const outcomes = await Promise.allSettled(["a", "b", "c", "d"].map((key) => write(caller, { key })));
    const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
    expect(refused).toHaveLength(3);
    for (const error of refused)
      expect(error).toMatchObject({ code: "AGENT_NOTES_FULL", details: { limit: MAX_NOTES } });
    expect(await write(caller, { key: "k1", text: "New." })).toMatchObject({ text: "New." });
    await write(caller, { agentKey: "sales" });
    await write(caller, { scope: "TENANT" });
  });

  it("is counted by one writer at a time", async () => {
    const caller = await almostFull();
    const [written, release] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const given = { scope: "AGENT", agentKey: "support", text: "x", ttlSeconds: 60 } as const;
    const first = withTenant(caller, async (tx) => {
      await writeNote(tx, caller, { ...given, key: "a", callId: newId() });
      written.resolve(undefined);
      await release.promise;
    });
    await written.promise;
    const second = write(caller, { key: "b" });
    const refused = expect(second).rejects.toMatchObject({ code: "AGENT_NOTES_FULL" });
    await eventually(async () => {
      const { rowCount } = await database().owner.query(
        "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted",
      );
      return rowCount === 1;
    });
    release.resolve(undefined);
    await first;
    await refused;
  });

  it("is not taken by what has expired", async () => {
    const caller = await almostFull();
    await expire(await write(caller, { key: "a" }));
    await write(caller, { key: "b" });
    await expect(write(caller, { key: "c" })).rejects.toMatchObject({ code: "AGENT_NOTES_FULL" });
  });
});

const NOTES = `query ($first: Int = 20, $after: Cursor, $agentKey: String) { notes(first: $first, after: $after, agentKey: $agentKey) {
  edges { node { id scope agentKey key text createdAt updatedAt expiresAt run { id } } } pageInfo { hasNextPage endCursor } } }`;
const DELETE = "mutation ($noteId: ID!) { deleteNote(input: { noteId: $noteId }) { id key } }";
const keysOf = (edges: { node: { key: string } }[]): string[] => edges.map(({ node }) => node.key);

describe("Query.notes", () => {
  it("pages through the tenant's notes, newest first, or those of one agent", async () => {
    const caller = aCaller();
    await write(caller, { key: "a" });
    await write(caller, { key: "b", scope: "TENANT" });
    await write(caller, { key: "c", agentKey: "sales" });
    await expire(await write(caller, { key: "d" }));
    const page = async (variables: object) => (await expectData(schema, caller, NOTES, { ...variables })).notes;
    const first = await page({ first: 2 });
    expect(first.edges.map(({ node }: { node: object }) => node)).toMatchObject([
      { key: "c", scope: "AGENT", agentKey: "sales", text: "Short.", run: null },
      { key: "b", scope: "TENANT", agentKey: null },
    ]);
    const rest = await page({ first: 2, after: first.pageInfo.endCursor });
    expect([keysOf(rest.edges), rest.pageInfo.hasNextPage]).toEqual([["a"], false]);
    expect(keysOf((await page({ agentKey: "support" })).edges)).toEqual(["a"]);
  });

  it("is for those who may read notes, of their own tenant", async () => {
    const caller = aCaller();
    await write(caller);
    expect((await expectData(schema, aCaller(), NOTES)).notes.edges).toEqual([]);
    const without = aColleagueOf(caller, ["run:read", "note:write"]);
    expect(await expectRefusal(schema, without, NOTES)).toMatchObject({ code: "FORBIDDEN" });
  });
});

describe("Mutation.deleteNote", () => {
  it("makes agents forget it and records who did, not what it said", async () => {
    const caller = aCaller();
    const { id } = await write(caller, { text: "Something private." });
    const noteId = encodeId("Note", id);
    expect((await expectData(schema, caller, DELETE, { noteId })).deleteNote).toEqual({ id: noteId, key: "tone" });
    expect(await textsOf(caller, "support")).toEqual([]);
    const { rows } = await database().owner.query(
      "SELECT action, target, details FROM platform.audit_entry WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([
      { action: "agent.note.deleted", target: noteId, details: { agentKey: "support", key: "tone" } },
    ]);
    expect(await expectRefusal(schema, caller, DELETE, { noteId })).toMatchObject({ reason: "AGENT_NOTE_NOT_FOUND" });
  });

  it("finds no note of another tenant, and takes note:write", async () => {
    const caller = aCaller();
    const noteId = encodeId("Note", (await write(caller)).id);
    expect(await expectRefusal(schema, aCaller(), DELETE, { noteId })).toMatchObject({ code: "NOT_FOUND" });
    const reader = aColleagueOf(caller, ["note:read"]);
    expect(await expectRefusal(schema, reader, DELETE, { noteId })).toMatchObject({ code: "FORBIDDEN" });
    expect(await textsOf(caller, "support")).toHaveLength(1);
  });
});

describe("Note as an entity", () => {
  it("is found by its id, in its own tenant, by who may read notes", async () => {
    const caller = aCaller();
    const id = encodeId("Note", (await write(caller)).id);
    const source = `{ _entities(representations: [{ __typename: "Note", id: "${id}" }]) { ... on Note { id key } } }`;
    expect((await expectData(schema, caller, source))._entities).toEqual([{ id, key: "tone" }]);
    const reasons = async (other: Caller) =>
      (await execute(schema, other, source)).errors?.map(({ extensions }) => extensions["reason"]);
    expect(await reasons(aCaller())).toEqual(["AGENT_NOTE_NOT_FOUND"]);
    expect(await reasons(aColleagueOf(caller, ["run:read"]))).toEqual(["PERMISSION_MISSING"]);
  });
});
