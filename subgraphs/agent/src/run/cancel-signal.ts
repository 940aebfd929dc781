import { pubsub } from "@sba/platform/pubsub";

/** Reaches the worker that is in the middle of a run's step, so that a cancellation does not wait for the lease's next renewal. */

const TOPIC = "agent.run.cancelled";
const underWay = new Map<string, AbortController>();
let listening: Promise<unknown> | undefined;

/** Says, after the commit, that a run is being cancelled. */
export function announceCancel(runId: string): void {
  pubsub().publish(TOPIC, runId);
}

/** Aborts `controller` when the run is cancelled; call what it returns when the step is over. */
export function abortOnCancel(runId: string, controller: AbortController): () => void {
  listening ??= pubsub()
    .subscribe(TOPIC, (cancelled) => {
      if (cancelled !== undefined) underWay.get(cancelled)?.abort();
    })
    // Not heard: the lease's next renewal finds the cancellation, and the next step subscribes again.
    .catch(() => {
      listening = undefined;
    });
  underWay.set(runId, controller);
  return () => {
    underWay.delete(runId);
  };
}
