import { networkError } from "../errors.ts";
import { MOVED } from "../transport/ladder.ts";
import type { StreamOptions, StreamRequest, StreamResult, Transport } from "../transport/transport.ts";
import { openFollower, type Follower } from "./follower.ts";
import { openLeader, type Leader } from "./leader.ts";
import type { Channel, Envelope, FromLeader, LockManager, ToLeader } from "./messages.ts";

/**
 * One connection for all tabs of a principal. The tab that holds a lock leads: it has the connection, and listens for the
 * others, which keep their own cursors. When it goes, however it goes, the browser gives the lock to another, and every
 * stream is opened there again after its cursor. One that holds the lock and answers nobody loses it.
 */

export interface TabsOptions {
  /** Of the lock and the channel: of one API and one principal. */
  readonly name: string;
  readonly locks: LockManager;
  readonly openChannel: (name: string) => Channel;
  /** Opens the connection, once this tab leads. */
  readonly openTransport: () => Transport;
  readonly answerWithinMs?: number;
  readonly askEveryMs?: number;
}

const ANSWER_WITHIN_MS = 3_000;
const ASK_EVERY_MS = 10_000;

export function openTabs(options: TabsOptions): Transport {
  const { name, locks } = options;
  const own = crypto.randomUUID();
  const lockOf = (tab: string): string => `${name}:tab:${tab}`;
  const closing = new AbortController();
  const channel = options.openChannel(name);
  let leading: { readonly leader: Leader; readonly transport: Transport; readonly lost: AbortController } | undefined;
  let waiting = new AbortController();
  let isStealing = false;

  const post = (message: ToLeader | FromLeader, to?: string): void => {
    if (!closing.signal.aborted) channel.postMessage({ from: own, message, ...(to === undefined ? {} : { to }) });
  };
  const lead = async (): Promise<void> => {
    follower.close();
    const transport = options.openTransport();
    const lost = new AbortController();
    const leader = openLeader({
      transport,
      locks,
      lockOf,
      post: (to, message) => {
        post(message, to);
      },
    });
    leading = { leader, transport, lost };
    await aborted(AbortSignal.any([closing.signal, lost.signal]));
    leading = undefined;
    await leader.close();
  };
  /** Waits for its turn to lead, and after it was made to stop, waits again. */
  const stand = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      waiting = new AbortController();
      const how = isStealing ? { steal: true } : { signal: AbortSignal.any([closing.signal, waiting.signal]) };
      isStealing = false;
      await locks.request(name, how, lead).catch(() => {
        // Stolen, because this tab did not answer; or no longer waited for.
        leading?.lost.abort();
      });
    }
  };
  const follower: Follower = openFollower({
    post,
    answerWithinMs: options.answerWithinMs ?? ANSWER_WITHIN_MS,
    askEveryMs: options.askEveryMs ?? ASK_EVERY_MS,
    onSilence: () => {
      if (leading || closing.signal.aborted) return;
      isStealing = true;
      waiting.abort();
    },
  });
  channel.onmessage = ({ data }: MessageEvent) => {
    const { from, to, message } = data as Envelope;
    if (to !== undefined && to !== own) return;
    if (isToLeader(message)) leading?.leader.hear(from, message);
    else if (!leading) follower.hear(from, message);
  };
  // Held while this tab is there: the one that leads sees by it when it is gone.
  void locks.request(lockOf(own), { signal: closing.signal }, () => aborted(closing.signal)).catch(() => undefined);
  void stand();

  async function* stream(
    request: StreamRequest,
    { signal: given, onOpen }: StreamOptions,
  ): AsyncGenerator<StreamResult, undefined> {
    const signal = AbortSignal.any([given, closing.signal]);
    if (signal.aborted) return undefined;
    if (!leading) return yield* follower.stream(request, { signal, onOpen });
    const { transport, lost } = leading;
    yield* transport.stream(request, { onOpen, signal: AbortSignal.any([signal, lost.signal]) });
    if (lost.signal.aborted && !signal.aborted)
      throw networkError("Another tab has the connection now.", { code: MOVED });
    return undefined;
  }
  return {
    stream,
    check: () => {
      if (leading) leading.transport.check();
      else follower.ask();
    },
    close: async () => {
      const transport = leading?.transport;
      closing.abort();
      follower.close();
      channel.close();
      await transport?.close();
    },
  };
}

function isToLeader(message: ToLeader | FromLeader): message is ToLeader {
  return message.type === "subscribe" || message.type === "cancel" || message.type === "ask";
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
