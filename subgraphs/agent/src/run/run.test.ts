import { withTenant } from "@sba/platform/db";
import { encodeCursor } from "@sba/platform/events";
import { encodeId, newId } from "@sba/platform/ids";
import { LEASE_MS } from "@sba/platform/lease";
import { logger } from "@sba/platform/log";
import { givenCollection } from "@sba/knowledge/testing";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { eventually } from "@sba/testkit/eventually";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { describe, expect, it, vi } from "vitest";
import { createBuiltInAgents } from "../agent/agent.ts";
import { driveRun, journalOf } from "../testing.ts";
import { advanceRun } from "./advance.ts";
import { leaseDueRuns } from "./dispatch.ts";
import { keepRunLease, takeLease } from "./lease.ts";
import { streamRunEvents } from "./run-events.ts";
import { cancelRun } from "./cancel.ts";
import { continueRun, getRun, listRuns, startRun } from "./run.ts";
import { aDispatcher, auditedRuns, dieAtStep } from "./testing.ts";
import { wakeRun } from "./wake.ts";

const database = useDatabase();
useBlobs();

async function aTenant() {
  const caller = aCaller();
  await createBuiltInAgents(caller);
  return caller;
}

const HANDBOOK = [
  {
    title: "Leave",
    text: "Employees receive twenty five days of annual leave. Leave is requested in the portal two weeks ahead.",
  },
  { title: "Expenses", text: "Expenses are refunded within ten days. Receipts must be kept for seven years." },
];

describe("a run", () => {
  it("answers from documents with citations, an artifact and exact usage", async () => {
    const caller = await aTenant();
    await givenCollection(caller, HANDBOOK);
    const runId = await startRun(caller, {
      agentKey: "handbook",
      prompt: "How many days of annual leave do employees receive?",
    });
    const run = await driveRun(caller, runId);
    expect(run).toMatchObject({ status: "COMPLETED", errorCode: null });
    expect(run.output).toMatch(/twenty five days of annual leave.*\[1\]/s);

    const journal = await journalOf(caller, runId);
    expect(journal.map(({ seq }) => seq)).toEqual(journal.map((_, index) => index + 1));
    expect(journal.at(-1)).toMatchObject({
      type: "agent.run.finished",
      payload: { status: "COMPLETED", output: run.output },
    });
    const types = journal.map(({ type }) => type);
    expect(types.filter((type) => type === "agent.run.finished" || type === "agent.run.failed")).toHaveLength(1);
    expect(types).toContain("agent.run.artifactCreated");
    const text = journal
      .filter(({ type }) => type === "agent.run.tokenDelta")
      .map(({ payload }) => payload["text"])
      .join("");
    expect(text).toBe(run.output);

    const { rows: citations } = await database().owner.query(
      "SELECT quote FROM agent.citation WHERE run_id = $1 ORDER BY ordinal",
      [runId],
    );
    expect(citations[0]).toMatchObject({ quote: expect.stringContaining("twenty five days") as unknown });
    const { rows: ledger } = await database().owner.query(
      "SELECT meter, sum(quantity)::text AS quantity FROM billing.usage_record WHERE run_id = $1 GROUP BY meter",
      [runId],
    );
    const metered = new Map(ledger.map((row: { meter: string; quantity: string }) => [row.meter, row.quantity]));
    const announced = new Map<string, bigint>();
    for (const { type, payload } of journal) {
      if (type !== "agent.run.usageRecorded") continue;
      for (const line of payload["usage"] as { meter: string; quantity: string }[]) {
        announced.set(line.meter, (announced.get(line.meter) ?? 0n) + BigInt(line.quantity));
      }
    }
    expect(new Map([...announced].map(([meter, quantity]) => [meter, String(quantity)]))).toEqual(metered);
    expect([...metered.keys()].sort()).toEqual([
      "model.inputTokens",
      "model.outputTokens",
      "run.started",
      "tool.called",
    ]);
  });

  it("is the same run for the same idempotency key, and a conflict for another input", async () => {
    const caller = await aTenant();
    const input = { agentKey: "handbook", prompt: "What is new?", idempotencyKey: "key-1" };
    const ids = await Promise.all([startRun(caller, input), startRun(caller, input), startRun(caller, input)]);
    expect(new Set(ids).size).toBe(1);
    await expect(startRun(caller, { ...input, prompt: "Another" })).rejects.toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
  });

  it("refuses an unknown agent and an unknown thread, and leaves nothing behind", async () => {
    const caller = await aTenant();
    await expect(startRun(caller, { agentKey: "nobody", prompt: "?" })).rejects.toMatchObject({
      code: "AGENT_AGENT_NOT_FOUND",
    });
    await expect(startRun(caller, { agentKey: "handbook", prompt: "?", threadId: newId() })).rejects.toMatchObject({
      code: "AGENT_THREAD_NOT_FOUND",
    });
    expect((await listRuns(caller, { first: 10 })).items).toEqual([]);
  });

  it("goes on with a thread after its run ended, and is refused before where that is asked for", async () => {
    const caller = await aTenant();
    const first = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    const { threadId } = await getRun(caller, first);
    const options = { onBusyThread: "REJECT" } as const;
    await expect(startRun(caller, { agentKey: "handbook", prompt: "And?", threadId, options })).rejects.toMatchObject({
      code: "AGENT_THREAD_BUSY",
    });
    await driveRun(caller, first);
    const second = await startRun(caller, { agentKey: "handbook", prompt: "And expenses?", threadId });
    expect(await driveRun(caller, second)).toMatchObject({ status: "COMPLETED", threadId });
  });

  it("waits for input when the model asks, goes on with it, and takes none otherwise", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "?!" });
    expect(await driveRun(caller, runId)).toMatchObject({
      status: "AWAITING_INPUT",
      dueAt: null,
      leaseExpiresAt: null,
    });
    await continueRun(caller, { runId, input: "What does the handbook say about leave?" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    await expect(continueRun(caller, { runId, input: "more" })).rejects.toMatchObject({
      code: "AGENT_RUN_NOT_AWAITING_INPUT",
    });
  });

  it("is cancelled through CANCELLING, once, and not after its end", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    const colleague = aColleagueOf(caller);
    await cancelRun(colleague, { runId, reason: "changed my mind" });
    await cancelRun(caller, { runId });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED", cancelReason: "changed my mind" });
    const journal = await journalOf(caller, runId);
    expect(
      journal.filter(({ type }) => type === "agent.run.statusChanged").map(({ payload }) => payload["to"]),
    ).toEqual(["CREATED", "CANCELLING", "CANCELLED"]);
    expect(journal.at(-1)).toMatchObject({ type: "agent.run.finished", payload: { status: "CANCELLED" } });
    await expect(cancelRun(caller, { runId })).rejects.toMatchObject({ code: "AGENT_RUN_ENDED" });
    const audited = { action: "agent.run.cancelled", by: colleague.principalId, target: encodeId("Run", runId) };
    expect(await auditedRuns(database(), caller)).toEqual([{ ...audited, details: { reason: "changed my mind" } }]);
  });

  it("ends FAILED, keeping what it has, when its steps are used up", async () => {
    const caller = await aTenant();
    await givenCollection(caller, HANDBOOK);
    const runId = await startRun(caller, {
      agentKey: "handbook",
      prompt: "What about annual leave?",
      options: { maxSteps: 2 },
    });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "FAILED", errorCode: "AGENT_RUN_STEPS_EXHAUSTED" });
    expect((await journalOf(caller, runId)).at(-1)).toMatchObject({ type: "agent.run.failed" });
  });

  it("never spends a micro-unit above its budget, wherever that ends it", async () => {
    const caller = await aTenant();
    await givenCollection(caller, HANDBOOK);
    const start = (budgetMicros: string) =>
      startRun(caller, { agentKey: "handbook", prompt: "What about annual leave?", options: { budgetMicros } });
    await expect(start("999")).rejects.toMatchObject({ code: "BILLING_BUDGET_EXHAUSTED" });
    const outcomes = new Set<string | null>();
    const tight = Array.from({ length: 16 }, (_, index) => String(1_500 + index * 5));
    for (const budgetMicros of ["1000", "1100", ...tight, "1600", "1700", "2200", "9999"]) {
      const run = await driveRun(caller, await start(budgetMicros));
      const { rows } = await database().owner.query<{ spent: string }>(
        "SELECT sum(amount_micros)::text AS spent FROM billing.usage_record WHERE run_id = $1",
        [run.id],
      );
      expect(BigInt(rows[0]!.spent), budgetMicros).toBe(run.spentMicros);
      expect(run.spentMicros, budgetMicros).toBeLessThanOrEqual(BigInt(budgetMicros));
      outcomes.add(run.errorCode);
    }
    expect(outcomes).toEqual(new Set(["BILLING_BUDGET_EXHAUSTED", null]));
  });

  it("is not found by another tenant", async () => {
    const [caller, other] = [await aTenant(), await aTenant()];
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    await expect(getRun(other, runId)).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
    await expect(cancelRun(other, { runId })).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
    await expect(continueRun(other, { runId, input: "x" })).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
    expect((await listRuns(other, { first: 10 })).items).toEqual([]);
  });
});

describe("the lease of a run", () => {
  const context = { signal: new AbortController().signal, attempt: 1, log: logger };

  it("lets one of many workers move the run", async () => {
    const caller = await aTenant();
    await givenCollection(caller, HANDBOOK);
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about annual leave?" });
    await Promise.all(Array.from({ length: 6 }, () => advanceRun(caller, { runId }, context)));
    await driveRun(caller, runId);
    const journal = await journalOf(caller, runId);
    const started = journal
      .filter(({ type }) => type === "agent.run.stepStarted")
      .map(({ payload }) => (payload["step"] as { number: number }).number);
    expect(started).toEqual(started.map((_, index) => index + 1));
    expect(journal.filter(({ type }) => type === "agent.run.finished")).toHaveLength(1);
  });

  it("is taken over when its worker died, and the step's text is declared void", async () => {
    const caller = await aTenant();
    await givenCollection(caller, HANDBOOK);
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about annual leave?" });
    // A worker that began the first step and died: its lease has run out and its step is open.
    const draining = new AbortController();
    draining.abort();
    await advanceRun(caller, { runId }, { ...context, signal: draining.signal });
    const run = await driveRun(caller, runId);
    expect(run.status).toBe("COMPLETED");
    const journal = await journalOf(caller, runId);
    expect(journal.filter(({ type }) => type === "agent.run.stepRestarted")).toMatchObject([
      { payload: { attempt: 1, cause: "WORKER_DRAINED" } },
    ]);
    const { rows } = await database().owner.query(
      "SELECT count(*)::int AS lines FROM billing.usage_record WHERE run_id = $1 AND meter = 'model.inputTokens'",
      [runId],
    );
    const turns = journal.filter(
      ({ type, payload }) =>
        type === "agent.run.stepFinished" && (payload["step"] as { type: string }).type === "MODEL",
    );
    expect(rows).toEqual([{ lines: turns.length }]);
  });

  it("fails the run when workers died at a step too often", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    for (let died = 0; died < 5; died++) await dieAtStep(database(), caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({
      status: "FAILED",
      errorCode: "AGENT_RUN_ATTEMPTS_EXHAUSTED",
    });
  });

  it("does not hold it against the run that its workers were replaced, however many", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    const draining = AbortSignal.abort();
    for (let replaced = 0; replaced < 7; replaced++)
      await advanceRun(caller, { runId }, { ...context, signal: draining });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  });

  it("is lost to a worker that wakes up late, before it calls anything", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    const run = await withTenant(caller, (tx) => takeLease(tx, runId));
    const keeper = keepRunLease(run!, context.signal);
    await lapse(runId);
    await withTenant(caller, (tx) => takeLease(tx, runId));
    const now = performance.now.bind(performance);
    const asleep = vi.spyOn(performance, "now").mockImplementation(() => now() + LEASE_MS);
    await expect(keeper.hold()).rejects.toMatchObject({ code: "OPERATION_CANCELLED" });
    asleep.mockRestore();
    keeper.stop();
  });

  it("is nobody's once the run has ended, whoever wakes it", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    await driveRun(caller, runId);
    await withTenant(caller, (tx) => {
      wakeRun(tx, runId);
      return Promise.resolve();
    });
    expect(await getRun(caller, runId)).toMatchObject({ dueAt: null });
    await database().owner.query("UPDATE agent.run SET due_at = now() WHERE id = $1", [runId]);
    expect(await withTenant(caller, (tx) => takeLease(tx, runId))).toBeUndefined();
    const leased = await leaseDueRuns({ free: 8, most: 8, held: [] });
    expect(leased.map(({ id }) => id)).not.toContain(runId);
    await database().owner.query("UPDATE agent.run SET due_at = NULL WHERE id = $1", [runId]);
  });

  /** Its worker is gone. */
  const lapse = (runId: string) =>
    database().owner.query(
      "UPDATE agent.run SET lease_expires_at = now() - interval '1 second', due_at = now() WHERE id = $1",
      [runId],
    );
});

describe("the dispatcher", () => {
  const idle = { free: 8, most: 6, held: [] };

  async function dueRuns(count: number) {
    const caller = await aTenant();
    const prompts = Array.from({ length: count }, (_, index) => `What about leave ${index}?`);
    const ids: string[] = [];
    for (const prompt of prompts) ids.push(await startRun(caller, { agentKey: "handbook", prompt }));
    return { caller, ids };
  }
  const endAll = () => database().owner.query("UPDATE agent.run SET due_at = NULL");

  it("works on a run that nobody was told of, and on one whose worker died", async () => {
    const { caller, ids } = await dueRuns(2);
    await database().owner.query(
      "UPDATE agent.run SET lease_expires_at = now() - interval '1 second', fence = 7 WHERE id = $1",
      [ids[0]],
    );
    const drain = await aDispatcher({ capacity: 4 });
    await eventually(
      async () => (await Promise.all(ids.map((id) => getRun(caller, id)))).every(({ endedAt }) => endedAt !== null),
      { timeoutMs: 20_000 },
    );
    await drain();
  });

  it("gives the first run of every tenant its turn before the second of any", async () => {
    await endAll();
    const whale = await dueRuns(12);
    const minnow = await dueRuns(1);
    const leased = await leaseDueRuns({ ...idle, free: 2 });
    expect(leased.map(({ tenantId }) => tenantId).toSorted()).toEqual(
      [whale.caller.tenantId, minnow.caller.tenantId].toSorted(),
    );
    expect(await leaseDueRuns({ free: 8, most: 3, held: [[whale.caller.tenantId, 1]] })).toHaveLength(2);
  });

  it("leases a run once, whoever looks at the same moment", async () => {
    await endAll();
    const { ids } = await dueRuns(6);
    const looks = await Promise.all(Array.from({ length: 5 }, () => leaseDueRuns(idle)));
    const leased = looks.flat().map(({ id }) => id);
    expect(new Set(leased).size).toBe(leased.length);
    expect(ids).toEqual(expect.arrayContaining(leased));
    expect(await leaseDueRuns(idle)).toHaveLength(ids.length - leased.length);
  });

  it("ends a run at which every worker fails before a step, and keeps the others going", async () => {
    await endAll();
    const { caller, ids } = await dueRuns(2);
    const [poisoned = "", sound = ""] = ids;
    // Nothing of its history can be read.
    await database().owner.query("UPDATE agent.message SET tool_calls = '7' WHERE run_id = $1", [poisoned]);
    const drain = await aDispatcher({ capacity: 4 });
    await eventually(
      async () => {
        await database().owner.query("UPDATE agent.run SET due_at = now() WHERE id = $1 AND due_at > now()", [
          poisoned,
        ]);
        return (await getRun(caller, poisoned)).endedAt !== null && (await getRun(caller, sound)).endedAt !== null;
      },
      { timeoutMs: 25_000 },
    );
    await drain();
    expect(await getRun(caller, poisoned)).toMatchObject({
      status: "FAILED",
      errorCode: "AGENT_RUN_ATTEMPTS_EXHAUSTED",
    });
    expect(await getRun(caller, sound)).toMatchObject({ status: "COMPLETED" });
    expect((await journalOf(caller, poisoned)).at(-1)).toMatchObject({ type: "agent.run.failed" });
  });

  it("leaves a step in hand to the next worker when it has to stop", async () => {
    await endAll();
    const { caller, ids } = await dueRuns(1);
    const drain = await aDispatcher({ capacity: 1 });
    await drain({ graceMs: 0 });
    const { dueAt, endedAt, leaseExpiresAt } = await getRun(caller, ids[0] ?? "");
    expect(leaseExpiresAt).toBeNull();
    expect(endedAt !== null || dueAt !== null).toBe(true);
  });
});

describe("the events of a run", () => {
  async function collect(caller: Awaited<ReturnType<typeof aTenant>>, runId: string, after: string | null) {
    const seen = [];
    const signal = AbortSignal.timeout(20_000);
    for await (const event of streamRunEvents(caller, { runId, after, signal })) seen.push(event);
    return seen;
  }

  it("are replayed and then live, from any cursor, without gap or repeat, and end with the run", async () => {
    const caller = await aTenant();
    await givenCollection(caller, HANDBOOK);
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about annual leave?" });
    const live = collect(caller, runId, null);
    await driveRun(caller, runId);
    const all = await live;
    expect(all.map(({ seq }) => seq)).toEqual(all.map((_, index) => index + 1));
    for (const event of all) {
      const rest = await collect(caller, runId, encodeCursor(event.stream, event.seq));
      expect(rest.map(({ seq }) => seq)).toEqual(all.slice(event.seq).map(({ seq }) => seq));
    }
  });

  it("say which of them the journal no longer has", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    await driveRun(caller, runId);
    await database().owner.query("DELETE FROM platform.event WHERE stream = $1 AND seq < 3", [`run:${runId}`]);
    const seen = await collect(caller, runId, null);
    expect(seen[0]).toMatchObject({ type: "gap", gap: { fromSeq: 1, toSeq: 2 } });
    expect(seen[1]).toMatchObject({ seq: 3 });
  });

  it("refuse a cursor of another stream and another tenant's run", async () => {
    const [caller, other] = [await aTenant(), await aTenant()];
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    await expect(collect(caller, runId, encodeCursor("run:other", 1))).rejects.toMatchObject({
      code: "CURSOR_INVALID",
    });
    await expect(collect(other, runId, null)).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
  });

  it("end with the terminal event though text was still on its way when the run was cancelled", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    const { openTokenWriter } = await import("../step/token-writer.ts");
    const run = await getRun(caller, runId);
    const writer = openTokenWriter({ id: runId, tenantId: caller.tenantId, fence: run.fence }, 1, 0);
    await cancelRun(caller, { runId });
    await driveRun(caller, runId);
    writer.write("too late");
    await expect(writer.drain()).rejects.toMatchObject({ code: "AGENT_RUN_LEASE_LOST" });
    expect((await journalOf(caller, runId)).at(-1)).toMatchObject({ type: "agent.run.finished" });
  });

  it("are appended only under the lease that began the step", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "What about leave?" });
    const { openTokenWriter } = await import("../step/token-writer.ts");
    const run = await getRun(caller, runId);
    const writer = openTokenWriter({ id: runId, tenantId: caller.tenantId, fence: run.fence }, 1, 0);
    writer.write("kept");
    await writer.drain();
    await withTenant(caller, (tx) => tx.sql`UPDATE agent.run SET fence = fence + 1 WHERE id = ${runId}`);
    writer.write("void");
    await expect(writer.drain()).rejects.toMatchObject({ code: "AGENT_RUN_LEASE_LOST" });
    const texts = (await journalOf(caller, runId))
      .filter(({ type }) => type === "agent.run.tokenDelta")
      .map(({ payload }) => payload["text"]);
    expect(texts).toEqual(["kept"]);
  });
});
