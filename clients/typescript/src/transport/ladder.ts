import { ANY_QUERY } from "../documents.ts";
import { networkError, toApiError, type ApiError } from "../errors.ts";
import { pause } from "../wait.ts";
import type { Rung, StreamOptions, StreamRequest, StreamResult, Transport } from "./transport.ts";

/**
 * The best transport that works here: WebSocket, else server-sent events, else polling. One that fails twice in a row
 * without a result in between is left for the next; meanwhile the better ones are tried beside it, and when one answers,
 * the streams move back up. Nothing is lost by moving: whoever follows goes on after its cursor.
 */

export interface LadderOptions {
  readonly rungs: readonly [Rung, ...Rung[]];
  /** When better rungs are tried for the first time; then at ever longer intervals. */
  readonly climbAfterMs: number;
}

/** The reason of the error that ends a stream so that it is opened again on a better transport. */
export const MOVED = "MOVED";

const FAILURES = 2;
const LONGEST_CLIMB_MS = 60_000;
const PROBE_WITHIN_MS = 5_000;
const PROBE: StreamRequest = { document: ANY_QUERY, variables: {} };

export function openLadder({ rungs, climbAfterMs }: LadderOptions): Transport {
  const closing = new AbortController();
  let standing = 0;
  let failures = 0;
  let moving = new AbortController();
  let isClimbing = false;

  const move = (to: number): void => {
    standing = to;
    failures = 0;
    const left = moving;
    moving = new AbortController();
    left.abort();
  };
  const climb = async (): Promise<void> => {
    if (isClimbing) return;
    isClimbing = true;
    for (
      let waitMs = climbAfterMs;
      standing > 0 && !closing.signal.aborted;
      waitMs = Math.min(LONGEST_CLIMB_MS, waitMs * 2)
    ) {
      await pause(waitMs, closing.signal);
      const better = await findAnswering(rungs.slice(0, standing), closing.signal);
      if (better !== undefined) move(better);
    }
    isClimbing = false;
  };
  const failed = (rung: Rung, failure: ApiError): void => {
    // What the API says is no fault of the transport; neither is that somebody else has moved meanwhile.
    if (failure.reason !== "NETWORK_FAILED" || rungs[standing] !== rung || ++failures < FAILURES) return;
    move((standing + 1) % rungs.length);
    if (standing > 0) void climb();
  };

  async function* stream(request: StreamRequest, options: StreamOptions): AsyncGenerator<StreamResult, undefined> {
    // Below the standing one there may be none that carries it: then the last that does.
    const rung = rungs.slice(0, standing + 1).findLast((each) => each.carries(request)) ?? rungs[0];
    const moved = moving.signal;
    try {
      for await (const result of rung.stream(request, {
        ...options,
        signal: AbortSignal.any([options.signal, moved]),
      })) {
        if (rungs[standing] === rung) failures = 0;
        yield result;
      }
    } catch (thrown) {
      const failure = toApiError(thrown);
      if (!moved.aborted) failed(rung, failure);
      throw failure;
    }
    if (moved.aborted && !options.signal.aborted)
      throw networkError("A better way to listen was found.", { code: MOVED });
    return undefined;
  }

  return {
    stream,
    check: () => {
      for (const rung of rungs) rung.check();
    },
    close: async () => {
      closing.abort();
      await Promise.all(rungs.map((rung) => rung.close()));
    },
  };
}

/** The first of the rungs that answers a question, if any does. */
async function findAnswering(rungs: readonly Rung[], closing: AbortSignal): Promise<number | undefined> {
  for (const [index, rung] of rungs.entries()) {
    const signal = AbortSignal.any([closing, AbortSignal.timeout(PROBE_WITHIN_MS)]);
    try {
      if (!rung.carries(PROBE)) continue;
      for await (const { data } of rung.stream(PROBE, { signal, onOpen: () => undefined })) if (data) return index;
    } catch {
      // Not yet.
    }
  }
  return undefined;
}
