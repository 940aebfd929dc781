import { setTimeout as delay } from "node:timers/promises";
import {
  ApiError,
  ApprovalsDocument,
  DecideApprovalDocument,
  RunEventsDocument,
  StartRunDocument,
  type Client,
  type RunEventsSubscription,
} from "@sba/client";
import type { World } from "./world.ts";

/** What people and programs do meanwhile: they start runs, watch them, decide what is asked, and do not give up. */

type RunEvent = RunEventsSubscription["runEvents"];

/** One run as its client saw it. */
export interface Watched {
  readonly runId: string;
  readonly events: readonly RunEvent[];
}

export interface Backlog {
  /** Resolves when the first run is in the middle of something. */
  readonly underWay: Promise<void>;
  /** Every run, watched to its end. Rejects when one has not ended in time. */
  readonly watched: Promise<Watched[]>;
}

const AGAIN_AFTER_MS = 100;
const PROMPTS = [
  { agentKey: "handbook", prompt: "Where does a slender wing carry its lift?" },
  { agentKey: "assistant", prompt: "Create a task to order a new wind tunnel fan" },
  { agentKey: "messenger", prompt: 'Send {"order": 42} to the webhook sink' },
  { agentKey: "handbook", prompt: "Through which point does heat reach a blunt body?" },
];

/** Starts `count` runs at once and keeps up what clients do until all have ended, `withinMs` at most. */
export function startBacklog(world: World, name: string, count: number, withinMs: number): Backlog {
  const signal = AbortSignal.timeout(withinMs);
  const underWay = Promise.withResolvers<void>();
  const done = new AbortController();
  const watched = Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const runId = await start(world.operator, `${name}:${index}`, PROMPTS[index % PROMPTS.length]!, signal);
      return watch(world.operator, runId, signal, underWay.resolve);
    }),
  );
  const deciding = decideAll(world.owner, AbortSignal.any([signal, done.signal]));
  const finished = watched.finally(async () => {
    done.abort();
    await deciding;
  });
  finished.catch(() => undefined);
  return { underWay: underWay.promise, watched: finished };
}

/** A start that was not answered is sent again with the same key: it must not become a second run. */
function start(client: Client, idempotencyKey: string, input: (typeof PROMPTS)[number], signal: AbortSignal) {
  return insist(signal, async () => {
    const { startRun } = await client.mutate(StartRunDocument, { ...input, idempotencyKey }, { signal });
    return startRun.id;
  });
}

/** Repeats what fails for a reason that passes. */
async function insist<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted || !(error instanceof ApiError) || !error.retryable) throw error;
      await delay(error.retryAfterMs ?? AGAIN_AFTER_MS, undefined, { signal });
    }
  }
}

/** Follows a run as a client does that reconnects with its cursor. */
async function watch(client: Client, runId: string, signal: AbortSignal, onUnderWay: () => void): Promise<Watched> {
  const events: RunEvent[] = [];
  await insist(signal, async () => {
    const after = events.at(-1)?.cursor ?? null;
    for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId, after }, { signal })) {
      events.push(runEvents);
      if (runEvents.__typename === "ToolRequested") onUnderWay();
    }
  });
  return { runId, events };
}

/** Approves whatever is asked, each twice at the same moment: one of the two has to be refused. */
async function decideAll(client: Client, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await decidePending(client).catch(() => undefined); // asked again in a moment, as a person would
    await delay(AGAIN_AFTER_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function decidePending(client: Client): Promise<void> {
  const { approvals } = await client.query(ApprovalsDocument, { filter: { status: ["PENDING"] }, first: 100 });
  const decisions = approvals.edges.flatMap(({ node: { id: approvalId, fingerprint, version: expectedVersion } }) => {
    const decision = { approvalId, fingerprint, expectedVersion, decision: "APPROVED" as const, reason: "drill" };
    return [client.mutate(DecideApprovalDocument, decision), client.mutate(DecideApprovalDocument, decision)];
  });
  await Promise.allSettled(decisions);
}
