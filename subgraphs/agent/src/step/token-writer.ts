import { withTenant } from "@sba/platform/db";
import { appendToStreams } from "@sba/platform/events";
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
  /** Drops what is not on its way yet and waits for what is: nothing is appended after it resolves. */
  discard(): Promise<void>;
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
    const held = await withTenant({ tenantId }, async (tx) => {
      const runs = await tx.sql<{ id: string }>`
        SELECT r.id FROM agent.run r
        JOIN (SELECT DISTINCT id, fence FROM unnest(${batch.map(({ run }) => run.id)}::uuid[], ${batch.map(({ run }) => run.fence)}::int[]) AS d (id, fence)) d
          ON d.id = r.id AND d.fence = r.fence
        ORDER BY r.id FOR SHARE OF r`;
      const ids = new Set(runs.map(({ id }) => id));
      const kept = batch.filter(({ run }) => ids.has(run.id));
      if (kept.length > 0) {
        await appendToStreams(
          tx,
          { tenantId },
          kept.map(({ run, stepNumber, index, text }) => ({
            stream: runStream(run.id),
            event: tokenDelta({ stepNumber, index, text }),
          })),
        );
      }
      return ids;
    });
    for (const { run, settle } of batch) {
      if (held.has(run.id)) settle.resolve();
      else settle.reject(errors.AGENT_RUN_LEASE_LOST());
    }
  } catch (error) {
    for (const { settle } of batch) settle.reject(error);
  }
}
