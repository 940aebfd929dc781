import { logger } from "./log.ts";

/** What both backends of `pubsub.ts` share: the interface and the table of who listens. */

/** Called with the payload of one message, or with undefined when messages may have been missed (reconnect). */
export type WakeListener = (payload: string | undefined) => void;

export interface PubSub {
  /**
   * Tells every process, this one included. Never waits and never fails for the backend's sake: a lost message costs the
   * slow timer of its reader, nothing else. @throws RangeError for a message of more than MAX_MESSAGE_BYTES, on both backends.
   */
  publish(topic: string, payload?: string): void;
  /**
   * Resolves when the backend has acknowledged: what is published from then on is heard. While the backend is away it
   * resolves all the same, and the listener is called with undefined when the backend is back. Returns how to leave.
   */
  subscribe(topic: string, listener: WakeListener): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

/** A NOTIFY carries less than 8000 bytes (https://www.postgresql.org/docs/18/sql-notify.html); the rest is brackets. */
export const MAX_MESSAGE_BYTES = 7_900;

/** One message as it travels. @throws RangeError when it is too large for either backend. */
export function encodeMessage(topic: string, payload?: string): string {
  const message = JSON.stringify(payload === undefined ? [topic] : [topic, payload]);
  if (Buffer.byteLength(message) > MAX_MESSAGE_BYTES) {
    throw new RangeError(
      `a message on ${topic.slice(0, 80)} is larger than ${MAX_MESSAGE_BYTES} bytes: publish an id, not the thing`,
    );
  }
  return message;
}

/** Who listens to what in this process. A listener that throws disturbs nobody else. */
export interface Listeners {
  /** Returns how to leave; leaving twice is leaving once. */
  add(topic: string, listener: WakeListener): () => void;
  call(topic: string, payload: string | undefined): void;
  /** Messages may have been missed: everyone looks again. */
  callAll(): void;
  clear(): void;
}

export function openListeners(): Listeners {
  // A listener may be registered twice: each registration is an object of its own.
  const topics = new Map<string, Set<{ readonly listener: WakeListener }>>();
  return {
    add(topic, listener) {
      const members = topics.get(topic) ?? new Set();
      const member = { listener };
      topics.set(topic, members.add(member));
      return () => {
        members.delete(member);
        if (members.size === 0 && topics.get(topic) === members) topics.delete(topic);
      };
    },
    call(topic, payload) {
      for (const { listener } of topics.get(topic) ?? []) callListener(listener, payload);
    },
    callAll() {
      for (const members of topics.values()) {
        for (const { listener } of members) callListener(listener, undefined);
      }
    },
    clear: () => {
      topics.clear();
    },
  };
}

export function callListener(listener: WakeListener, payload: string | undefined): void {
  try {
    listener(payload);
  } catch (error) {
    logger.error({ err: error }, "a listener of pub/sub failed");
  }
}
