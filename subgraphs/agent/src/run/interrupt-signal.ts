import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { pubsub, type PubSub } from "@sba/platform/pubsub";

/** Reaches the worker that is in the middle of a run's step, so that what a person asked for does not wait for the lease's next renewal. */

/** Why a step under way is to stop: its run is being cancelled, or is paused (then what must not be done twice is finished). */
export type Interrupt = "cancel" | "pause";

/** What aborts the step under way, by why. */
export type Interruptible = Readonly<Record<Interrupt, AbortController>>;

const TOPIC = "agent.run.interrupted";

/** A run, and the revision that it had: when it was leased, or before it was interrupted. */
type Known = Pick<RunRow, "id" | "revision">;

interface UnderWay {
  readonly leased: Known;
  readonly controllers: Interruptible;
}

const underWay = new Map<string, UnderWay>();
const listeningTo = new WeakSet<PubSub>();

/** Says, after the commit, that a run is being cancelled or is paused; the run as it was locked for that. */
export function announceInterrupt({ id, revision }: Known, why: Interrupt): void {
  pubsub().publish(TOPIC, `${why} ${id} ${revision}`);
}

/** Aborts one of `controllers` when the run is interrupted; call what it returns when the run is let go of. */
export function abortOnInterrupt(leased: Known, controllers: Interruptible): () => void {
  listen(pubsub());
  const held = { leased, controllers };
  underWay.set(leased.id, held);
  return () => {
    if (underWay.get(leased.id) === held) underWay.delete(leased.id);
  };
}

function listen(current: PubSub): void {
  if (listeningTo.has(current)) return;
  listeningTo.add(current);
  // Not heard: the lease's next renewal finds it, and the next run that is leased subscribes again.
  current.subscribe(TOPIC, interrupt).catch(() => listeningTo.delete(current));
}

function interrupt(message: string | undefined): void {
  const [why, runId = "", revision] = message?.split(" ") ?? [];
  const held = underWay.get(runId);
  // What comes late is of before the lease: a pause that is over must not stop what was begun after it.
  if (!held || Number(revision) < held.leased.revision) return;
  if (why === "cancel" || why === "pause") held.controllers[why].abort();
}
