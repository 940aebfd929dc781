import { pubsub, type PubSub } from "@sba/platform/pubsub";

/** Reaches the worker that is in the middle of a run's step, so that what a person asked for does not wait for the lease's next renewal. */

/** Why a step under way is to stop: its run is being cancelled, or is paused (then what must not be done twice is finished). */
export type Interrupt = "cancel" | "pause";

/** What aborts the step under way, by why. */
export type Interruptible = Readonly<Record<Interrupt, AbortController>>;

const TOPIC = "agent.run.interrupted";
const underWay = new Map<string, Interruptible>();
const listeningTo = new WeakSet<PubSub>();

/** Says, after the commit, that a run is being cancelled or is paused. */
export function announceInterrupt(runId: string, why: Interrupt): void {
  pubsub().publish(TOPIC, `${why} ${runId}`);
}

/** Aborts one of `controllers` when the run is interrupted; call what it returns when the run is let go of. */
export function abortOnInterrupt(runId: string, controllers: Interruptible): () => void {
  listen(pubsub());
  underWay.set(runId, controllers);
  return () => {
    if (underWay.get(runId) === controllers) underWay.delete(runId);
  };
}

function listen(current: PubSub): void {
  if (listeningTo.has(current)) return;
  listeningTo.add(current);
  // Not heard: the lease's next renewal finds it, and the next run that is leased subscribes again.
  current.subscribe(TOPIC, interrupt).catch(() => listeningTo.delete(current));
}

function interrupt(message: string | undefined): void {
  const [why, runId = ""] = message?.split(" ") ?? [];
  if (why === "cancel" || why === "pause") underWay.get(runId)?.[why].abort();
}
