import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { deleteSuspension, insertSuspension } from "@sba/platform/suspension";
import type { Source } from "@sba/platform/generated/prisma/client";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, test } from "vitest";
import { createCollection } from "../collection/collection.ts";
import { listDocuments, type Document } from "../document/document.ts";
import { searchKnowledge } from "../retrieval/retrieval.ts";
import { consistentIndex, describeIndex, givenCollection, ingest } from "../testing.ts";
import { commitSources } from "./commit.ts";
import { addDocuments, getIngestion } from "./ingestion.ts";
import { MAX_ATTEMPTS } from "./ingestion.state.ts";
import { giveBack, takeLease } from "./lease.ts";
import { prepareSource } from "./prepare.ts";
import { resumeIngestions } from "./resume.ts";
import { runIngestion } from "./run-ingestion.ts";
import type { DocumentInput } from "./submission.ts";

const database = useDatabase();
const { signal } = new AbortController();

async function documentsOf(caller: Caller, collectionId: string): Promise<readonly Document[]> {
  return (await listDocuments(caller, collectionId, { first: 100 })).items;
}

async function found(caller: Caller, query: string): Promise<string[]> {
  return (await searchKnowledge(caller, { query, topK: 20 })).map(({ document }) => document.title);
}

async function chunksMetered(caller: Caller): Promise<bigint> {
  const { rows } = await database().owner.query<{ total: string }>(
    "SELECT coalesce(sum(quantity), 0) AS total FROM billing.usage_record WHERE tenant_id = $1 AND meter = 'knowledge.chunksIndexed'",
    [caller.tenantId],
  );
  return BigInt(rows[0]?.total ?? 0);
}

const leave: DocumentInput = { externalId: "leave", title: "Leave", text: "Everyone has thirty days of paid leave." };

describe("failing", () => {
  const unreadable: DocumentInput = {
    externalId: "deep",
    title: "Deep",
    text: "<div>".repeat(20_000),
    mediaType: "text/html",
  };

  test("fails one document and not the others, and says why", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const [ingestion] = await ingest(caller, collectionId, [leave, unreadable, { title: "Travel", text: "By train." }]);
    expect(ingestion).toMatchObject({ status: "COMPLETED", documentsReady: 2, documentsFailed: 1 });
    expect(ingestion?.failures).toMatchObject([
      { title: "Deep", message: "The document's text could not be read: it is nested too deeply." },
    ]);
    expect((await documentsOf(caller, collectionId)).find(({ title }) => title === "Deep")).toMatchObject({
      status: "FAILED",
    });
    expect(await found(caller, "train")).toEqual(["Travel"]);
  });

  test("fails the ingestion when every document fails", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    expect(await ingest(caller, collectionId, [unreadable])).toMatchObject([{ status: "FAILED", documentsFailed: 1 }]);
  });

  test("keeps the text that is searched when the new one is unreadable", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [leave]);
    await ingest(caller, id, [{ ...unreadable, externalId: "leave" }]);
    expect(await found(caller, "thirty days")).toEqual(["Leave"]);
    expect(await documentsOf(caller, id)).toMatchObject([
      { status: "READY", title: "Leave", failure: expect.stringContaining("nested") as string },
    ]);
    await ingest(caller, id, [{ ...leave, text: "Better now." }]);
    expect(await documentsOf(caller, id)).toMatchObject([{ status: "READY", failure: null }]);
  });

  test("fails alone the document that the database refuses", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    await database().owner.query(`
      ALTER TABLE knowledge.chunk ADD CONSTRAINT no_poison CHECK (text NOT LIKE '%poison%') NOT VALID`);
    const [ingestion] = await ingest(caller, collectionId, [
      unreadable,
      leave,
      { title: "Poisoned", text: "There is poison in it." },
      { title: "Travel", text: "By train." },
    ]);
    await database().owner.query("ALTER TABLE knowledge.chunk DROP CONSTRAINT no_poison");
    expect(ingestion).toMatchObject({
      status: "COMPLETED",
      documentsReady: 2,
      documentsFailed: 2,
      failures: [{ title: "Deep" }, { title: "Poisoned", message: "The document could not be indexed." }],
    });
    expect(await chunksMetered(caller)).toBe(2n);
    expect(await describeIndex(caller)).toEqual(consistentIndex(2));
  });
});

describe("dying", () => {
  test("leaves no trace of a transaction that did not commit, and goes on from what did", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const documents = Array.from({ length: 60 }, (_, index) => ({
      externalId: `d${index}`,
      title: `D${index}`,
      text: `Text ${index}.`,
    }));
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents });
    // Its connection is cut at the last table of the second batch, as by a kill -9.
    await database().owner.query(`
      CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        IF OLD.chunk_count = 25 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$;
      CREATE TRIGGER die BEFORE UPDATE ON knowledge.collection FOR EACH ROW EXECUTE FUNCTION die()`);
    await expect(runIngestion(caller, { ingestionId }, { signal })).rejects.toMatchObject({
      code: "DATABASE_UNAVAILABLE",
    });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({
      status: "RUNNING",
      documentsReady: 25,
      documentsFailed: 0,
    });
    expect(await describeIndex(caller)).toEqual(consistentIndex(25));
    await database().owner.query("DROP TRIGGER die ON knowledge.collection");
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "COMPLETED", documentsReady: 60 });
    expect(await describeIndex(caller)).toEqual(consistentIndex(60));
    expect(await chunksMetered(caller)).toBe(60n);
  });

  test("waits for its job to be tried again when what went wrong may pass", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents: [leave] });
    await database().owner.query(`
      CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'deadlock' USING ERRCODE = '40P01'; END $$;
      CREATE TRIGGER stumble BEFORE INSERT ON knowledge.chunk FOR EACH ROW EXECUTE FUNCTION stumble()`);
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
      await expect(runIngestion(caller, { ingestionId }, { signal })).rejects.toThrow("deadlock");
      expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "PENDING", documentsFailed: 0 });
    }
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "FAILED", documentsFailed: 1 });
    await database().owner.query("DROP TRIGGER stumble ON knowledge.chunk");
  });

  test("stops between batches when the worker drains", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents: [leave] });
    await expect(runIngestion(caller, { ingestionId }, { signal: AbortSignal.abort() })).rejects.toThrow();
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "PENDING" });
  });

  const expireLease = (ingestionId: string, fields = "") =>
    database().owner.query(`UPDATE knowledge.ingestion SET lease_expires_at = now()${fields} WHERE id = $1`, [
      ingestionId,
    ]);

  test("lets one worker have it, and one that was paused commit nothing", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents: [leave] });
    const paused = (await takeLease(caller, ingestionId))!;
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "PENDING" });
    await expireLease(ingestionId);
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "COMPLETED", documentsReady: 1 });
    await expect(commitSources(caller, paused, [])).rejects.toMatchObject({ code: "KNOWLEDGE_INGESTION_LEASE_LOST" });
    await giveBack(caller, paused, true);
    expect(await takeLease(caller, ingestionId)).toBeUndefined();
  });

  test("can renew its lease while a commit takes long, and a commit that lost it on the way leaves no trace", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents: [leave] });
    const leased = (await takeLease(caller, ingestionId))!;
    const [source] = await withTenant(
      caller,
      (tx) => tx.sql<Source>`SELECT * FROM knowledge.source WHERE ingestion_id = ${ingestionId}`,
    );
    const prepared = await prepareSource(caller, source!, { signal, isLastAttempt: true });
    const { owner } = database();
    // A commit in the middle of its work: it waits for one of its documents.
    await owner.query("BEGIN");
    await owner.query("SELECT 1 FROM knowledge.document WHERE id = $1 FOR UPDATE", [source!.documentId]);
    const committing = commitSources(caller, leased, [prepared]).catch((error: unknown) => error);
    await owner.query(`
      DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()
        AND (relation IS NULL OR database = (SELECT oid FROM pg_database WHERE datname = current_database())))
      LOOP PERFORM pg_sleep(0.005); END LOOP; END $$`);
    await owner.query("SELECT 1 FROM knowledge.ingestion WHERE id = $1 FOR UPDATE NOWAIT", [ingestionId]);
    await owner.query("UPDATE knowledge.ingestion SET fence = fence + 1 WHERE id = $1", [ingestionId]);
    await owner.query("COMMIT");
    expect(await committing).toMatchObject({ code: "KNOWLEDGE_INGESTION_LEASE_LOST" });
    expect(await describeIndex(caller)).toMatchObject(consistentIndex(0));
    expect(await chunksMetered(caller)).toBe(0n);
  });

  test("gives up the one document at which workers die, and no other", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const documents = ["One", "Deadly", "Three"].map((title) => ({ title, text: `Text of ${title}.` }));
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents });
    // A worker takes the lease and is never heard of again, at whatever comes with the second document.
    const die = async (): Promise<void> => {
      const leased = await takeLease(caller, ingestionId);
      if (leased && leased.attempt > MAX_ATTEMPTS && (await getIngestion(caller, ingestionId)).documentsReady === 0) {
        const [first] = await withTenant(
          caller,
          (tx) => tx.sql<Source>`SELECT * FROM knowledge.source WHERE ingestion_id = ${ingestionId} AND number = 1`,
        );
        await commitSources(caller, leased, [await prepareSource(caller, first!, { signal, isLastAttempt: true })]);
      }
      await expireLease(ingestionId);
    };
    let deaths = 0;
    while ((await attemptOf(ingestionId)) < MAX_ATTEMPTS + 2) {
      await die();
      deaths += 1;
    }
    expect(deaths).toBe(8);
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({
      status: "COMPLETED",
      documentsReady: 2,
      failures: [{ title: "Deadly", message: "The document could not be indexed." }],
    });
  });

  async function attemptOf(ingestionId: string): Promise<number> {
    const { rows } = await database().owner.query<{ attempt: number }>(
      "SELECT attempt FROM knowledge.ingestion WHERE id = $1",
      [ingestionId],
    );
    return rows[0]!.attempt;
  }

  test("asks again for the job of an ingestion that is overdue and that nobody holds, once", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents: [leave] });
    await withTenant(caller, (tx) => tx.sql`DELETE FROM platform.outbox WHERE tenant_id = ${caller.tenantId}`);
    const outbox = async () =>
      (
        await database().owner.query("SELECT name, envelope FROM platform.outbox WHERE tenant_id = $1", [
          caller.tenantId,
        ])
      ).rows;
    await resumeIngestions();
    expect(await outbox()).toEqual([]);
    await takeLease(caller, ingestionId);
    const overdue = "UPDATE knowledge.ingestion SET due_at = now() - interval '3 seconds' WHERE id = $1";
    await database().owner.query(overdue, [ingestionId]);
    await resumeIngestions();
    expect(await outbox()).toEqual([]);
    await expireLease(ingestionId);
    await Promise.all([resumeIngestions(), resumeIngestions()]);
    await resumeIngestions();
    expect(await outbox()).toMatchObject([
      {
        name: "knowledge.ingestion.advance",
        envelope: { payload: { ingestionId }, caller: { principalId: caller.principalId } },
      },
    ]);
  });
});

describe("a suspended tenant", () => {
  test("has nothing ingested until it is resumed, and no attempt is counted", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents: [leave] });
    const rowOf = async () =>
      (
        await database().owner.query<object>("SELECT attempt, woken_at FROM knowledge.ingestion WHERE id = $1", [
          ingestionId,
        ])
      ).rows[0];
    await withTenant(caller, (tx) => insertSuspension(tx, caller, { by: "OWNER", reason: "An incident" }));
    await runIngestion(caller, { ingestionId }, { signal });
    await database().owner.query("UPDATE knowledge.ingestion SET due_at = now() - interval '3 seconds' WHERE id = $1", [
      ingestionId,
    ]);
    await resumeIngestions();
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "PENDING" });
    expect(await rowOf()).toEqual({ attempt: 0, woken_at: null });
    await withTenant(caller, (tx) => deleteSuspension(tx, caller, "OWNER"));
    await resumeIngestions();
    expect(await rowOf()).toEqual({ attempt: 0, woken_at: expect.any(Date) });
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "COMPLETED" });
  });
});
