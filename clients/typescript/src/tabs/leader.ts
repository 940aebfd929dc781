import { toApiError } from "../errors.ts";
import type { Transport } from "../transport/transport.ts";
import type { FromLeader, LockManager, ToLeader } from "./messages.ts";

/** The tab that has the connection, and listens for the others. */

export interface LeaderOptions {
  readonly transport: Transport;
  readonly post: (to: string | undefined, message: FromLeader) => void;
  readonly locks: LockManager;
  /** The lock that a tab holds while it is there. */
  readonly lockOf: (tab: string) => string;
}

export interface Leader {
  hear(from: string, message: ToLeader): void;
  close(): Promise<void>;
}

export function openLeader({ transport, post, locks, lockOf }: LeaderOptions): Leader {
  /** By tab, then by the tab's name for the stream. */
  const tabs = new Map<string, Map<string, AbortController>>();
  const closing = new AbortController();

  const streamsOf = (tab: string): Map<string, AbortController> => {
    const known = tabs.get(tab);
    if (known) return known;
    const streams = new Map<string, AbortController>();
    tabs.set(tab, streams);
    const forget = (): Promise<void> => {
      for (const stream of streams.values()) stream.abort();
      tabs.delete(tab);
      return Promise.resolve();
    };
    // It is ours only when the tab is gone, however it went.
    void locks.request(lockOf(tab), { signal: closing.signal }, forget).catch(() => undefined);
    return streams;
  };
  const serve = async (tab: string, { id, request }: Extract<ToLeader, { type: "subscribe" }>): Promise<void> => {
    const leaving = new AbortController();
    const streams = streamsOf(tab);
    streams.set(id, leaving);
    try {
      const onOpen: Parameters<Transport["stream"]>[1]["onOpen"] = (name) => {
        post(tab, { type: "open", id, transport: name });
      };
      for await (const result of transport.stream(request, { signal: leaving.signal, onOpen }))
        post(tab, { type: "result", id, result });
      if (!leaving.signal.aborted) post(tab, { type: "complete", id });
    } catch (thrown) {
      if (!leaving.signal.aborted) post(tab, { type: "error", id, errors: toApiError(thrown).errors });
    } finally {
      streams.delete(id);
    }
  };
  post(undefined, { type: "leading" });
  return {
    hear: (from, message) => {
      if (message.type === "subscribe") void serve(from, message);
      else if (message.type === "cancel") tabs.get(from)?.get(message.id)?.abort();
      else post(from, { type: "leading" });
    },
    close: async () => {
      closing.abort();
      for (const streams of tabs.values()) for (const stream of streams.values()) stream.abort();
      await transport.close();
    },
  };
}
