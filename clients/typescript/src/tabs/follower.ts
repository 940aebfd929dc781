import { apiErrorOf, networkError } from "../errors.ts";
import { openQueue, type Queue } from "../queue.ts";
import { MOVED } from "../transport/ladder.ts";
import type { StreamOptions, StreamRequest, StreamResult } from "../transport/transport.ts";
import type { FromLeader, ToLeader } from "./messages.ts";

/** A tab that listens by way of the one that leads. */

export interface FollowerOptions {
  readonly post: (message: ToLeader) => void;
  /** Called when the leader has not said anything for `answerWithinMs` after it was asked. */
  readonly onSilence: () => void;
  readonly answerWithinMs: number;
  readonly askEveryMs: number;
}

export interface Follower {
  hear(from: string, message: FromLeader): void;
  stream(request: StreamRequest, options: StreamOptions): AsyncGenerator<StreamResult, undefined>;
  /** Whether the leader is still there. */
  ask(): void;
  /** Ends what is listened to, so that it is opened again somewhere else. */
  close(): void;
}

interface Listening {
  readonly queue: Queue<StreamResult>;
  readonly subscribe: () => void;
  readonly onOpen: StreamOptions["onOpen"];
}

export function openFollower({ post, onSilence, answerWithinMs, askEveryMs }: FollowerOptions): Follower {
  const streams = new Map<string, Listening>();
  let leader: string | undefined;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let asking: ReturnType<typeof setInterval> | undefined;

  const expectAnswer = (): void => {
    silence ??= setTimeout(() => {
      silence = undefined;
      onSilence();
    }, answerWithinMs);
  };
  const heard = (): void => {
    clearTimeout(silence);
    silence = undefined;
  };
  const ask = (): void => {
    post({ type: "ask" });
    expectAnswer();
  };
  const moveAll = (): void => {
    for (const { queue } of streams.values())
      queue.fail(networkError("Another tab has the connection now.", { code: MOVED }));
  };
  return {
    ask,
    hear: (from, message) => {
      heard();
      if (message.type === "leading") {
        if (leader === from) return;
        const isFirst = leader === undefined;
        leader = from;
        // What was asked of another goes on here; what waited for somebody to lead can begin.
        if (!isFirst) moveAll();
        else for (const { subscribe } of streams.values()) subscribe();
        return;
      }
      const listening = streams.get(message.id);
      if (!listening || from !== leader) return;
      if (message.type === "open") listening.onOpen(message.transport);
      else if (message.type === "result") listening.queue.push(message.result);
      else if (message.type === "complete") listening.queue.end();
      else listening.queue.fail(apiErrorOf(message.errors));
    },
    async *stream(request, { signal, onOpen }) {
      const id = crypto.randomUUID();
      const queue = openQueue<StreamResult>();
      const leave = (): void => {
        queue.end();
      };
      const subscribe = (): void => {
        post({ type: "subscribe", id, request });
      };
      streams.set(id, { queue, onOpen, subscribe });
      signal.addEventListener("abort", leave, { once: true });
      asking ??= setInterval(ask, askEveryMs);
      ask();
      if (leader !== undefined) subscribe();
      try {
        if (signal.aborted) return undefined;
        yield* queue;
        return undefined;
      } finally {
        signal.removeEventListener("abort", leave);
        streams.delete(id);
        post({ type: "cancel", id });
        if (streams.size === 0) {
          clearInterval(asking);
          asking = undefined;
        }
      }
    },
    close: () => {
      heard();
      clearInterval(asking);
      asking = undefined;
      leader = undefined;
      moveAll();
    },
  };
}
