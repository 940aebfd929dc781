import { isRequirementFailure, withTenantOnce } from "@sba/platform/db";
import { appendToStreams, lockStreams } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { errors } from "../errors.ts";
import { runStream, tokenDelta } from "../events.ts";

/**
 * Text on its way to readers. Pieces are joined for a moment (the first goes at once) and committed before they are
 * announced, in one statement for all runs of a tenant that have some; nobody sees a piece that a crash can take back,
 * and a worker that lost its lease can add none.
 */
const JOIN_FOR_MS = 40;
const JOIN_AT_MOST = 64;

interface Delta {
  readonly run: Pick<RunRow, "id" | "tenantId" | "fence">;
  readonly stepNumber: number;
  readonly index: number;
  readonly text: string;
  readonly settle: PromiseWithResolvers<void>;
}

const waiting = new Map<string, Delta[]>();
const flushing = new Set<string>();

export interface TokenWriter {
  write(text: string): void;
  /** Resolves when every piece written so far is committed. @throws AGENT_RUN_LEASE_LOST */
  drain(): Promise<void>;
  /** Waits for what is on its way and gives back what is not: it goes with the step's own commit. @throws AGENT_RUN_LEASE_LOST */
  close(): Promise<LastPiece>;
  /** Drops what is not on its way yet and waits for what is: nothing is appended after it resolves. */
  discard(): Promise<void>;
}

export interface LastPiece {
  /** Of this piece; one more is the index of what comes after it. */
  readonly index: number;
  /** Empty when everything was on its way. */
  readonly text: string;
}

/** Opens the text of one attempt of a step; `firstIndex` goes on from the run's earlier pieces. */
export function openTokenWriter(run: Delta["run"], stepNumber: number, firstIndex: number): TokenWriter {
  let index = firstIndex;
  let joined = "";
  let pieces = 0;
  let timer: NodeJS.Timeout | undefined;
  const sent: Promise<void>[] = [];

  const send = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (joined === "") return;
    const settle = Promise.withResolvers<void>();
    settle.promise.catch(() => undefined); // heard by drain
    sent.push(settle.promise);
    submit({ run, stepNumber, index: index++, text: joined, settle });
    joined = "";
    pieces = 0;
  };

  return {
    write: (text) => {
      joined += text;
      pieces += 1;
      if (sent.length === 0 || pieces >= JOIN_AT_MOST) send();
      else timer ??= setTimeout(send, JOIN_FOR_MS);
    },
    drain: async () => {
      send();
      await Promise.all(sent);
    },
    close: async () => {
      clearTimeout(timer);
      const last = { index, text: joined };
      joined = "";
      await Promise.all(sent);
      return last;
    },
    discard: async () => {
      clearTimeout(timer);
      joined = "";
      await Promise.allSettled(sent);
    },
  };
}

function submit(delta: Delta): void {
  const { tenantId } = delta.run;
  const queue = waiting.get(tenantId) ?? [];
  queue.push(delta);
  waiting.set(tenantId, queue);
  if (!flushing.has(tenantId)) void flushTenant(tenantId);
}

/** One flush of a tenant at a time: what arrives meanwhile goes with the next. */
async function flushTenant(tenantId: string): Promise<void> {
  flushing.add(tenantId);
  for (let batch = waiting.get(tenantId); batch !== undefined; batch = waiting.get(tenantId)) {
    waiting.delete(tenantId);
    await commit(tenantId, batch);
  }
  flushing.delete(tenantId);
}

async function commit(tenantId: string, batch: readonly Delta[]): Promise<void> {
  try {
    await append(tenantId, batch);
    for (const { settle } of batch) settle.resolve();
  } catch (error) {
    if (isRequirementFailure(error, LOST)) await commitHeld(tenantId, batch);
    else for (const { settle } of batch) settle.reject(error);
  }
}

/** Somebody's lease was lost: the others' text must not be lost with it. */
async function commitHeld(tenantId: string, batch: readonly Delta[]): Promise<void> {
  const byRun = [...Map.groupBy(batch, ({ run }) => `${run.id} ${run.fence}`).values()];
  if (byRun.length > 1) await Promise.all(byRun.map((deltas) => commit(tenantId, deltas)));
  else for (const { settle } of batch) settle.reject(errors.AGENT_RUN_LEASE_LOST());
}

const LOST = "AGENT_RUN_LEASE_LOST";

/**
 * Appends the pieces if every run's lease is still the one they were written under. The streams are locked first: whoever
 * ended a lease before then is seen, whoever ends it later appends behind these pieces.
 */
function append(tenantId: string, batch: readonly Delta[]): Promise<unknown> {
  const runs = [...new Map(batch.map(({ run }) => [`${run.id} ${run.fence}`, run])).values()];
  const entries = batch.map(({ run, stepNumber, index, text }) => ({
    stream: runStream(run.id),
    event: tokenDelta({ stepNumber, index, text }),
  }));
  return withTenantOnce({ tenantId }, (tx) => {
    lockStreams(
      tx,
      entries.map(({ stream }) => stream),
    );
    void tx.sql`
      SELECT platform.require(count(*) = ${runs.length}, ${LOST})
      FROM unnest(${runs.map(({ id }) => id)}::uuid[], ${runs.map(({ fence }) => fence)}::int[]) AS held (id, fence)
      JOIN agent.run USING (id, fence)`;
    return appendToStreams(tx, { tenantId }, entries);
  });
}
