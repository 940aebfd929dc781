import { EVENT_LOGS } from "./generated/logs.ts";
import type { TransportName } from "./connection.ts";
import type { Execute } from "./request.ts";
import { openTabs } from "./tabs/tabs.ts";
import { identityOf, readToken, type Introduction } from "./token.ts";
import { openLadder } from "./transport/ladder.ts";
import { openPolling } from "./transport/polling.ts";
import { openSse } from "./transport/sse.ts";
import type { Rung, Transport } from "./transport/transport.ts";
import { openWebSocket, type Heartbeat } from "./transport/websocket.ts";

/** How this client listens: a ladder of transports, which all tabs of a browser share. */

export interface RealtimeOptions extends Introduction {
  readonly socketUrl: string;
  readonly sseUrl: string;
  readonly execute: Execute;
  readonly transports: readonly [TransportName, ...TransportName[]];
  readonly heartbeat: Heartbeat;
  readonly pollEveryMs: number;
  readonly climbAfterMs: number;
  readonly shareAcrossTabs: boolean;
}

/** Three of the comments by which a server shows that it is there. */
const SILENCES = 3;

export function openRealtime(options: RealtimeOptions): Transport {
  const open = (): Transport => openLadder({ rungs: rungsOf(options), climbAfterMs: options.climbAfterMs });
  if (!options.shareAcrossTabs || typeof BroadcastChannel === "undefined" || !("locks" in navigator)) return open();
  return openLater(async () =>
    openTabs({
      // Tabs in which different people are signed in share nothing.
      name: `sba:${options.socketUrl}:${await identityOf(await readToken(options.token))}`,
      locks: navigator.locks,
      openChannel: (name) => new BroadcastChannel(name),
      openTransport: open,
    }),
  );
}

function rungsOf(options: RealtimeOptions): readonly [Rung, ...Rung[]] {
  const { socketUrl, sseUrl, token, client, heartbeat, execute } = options;
  const open: Readonly<Record<TransportName, () => Rung>> = {
    websocket: () => openWebSocket({ url: socketUrl, token, client, heartbeat }),
    sse: () => openSse({ url: sseUrl, token, client, silentMs: heartbeat.everyMs * SILENCES }),
    polling: () => openPolling({ execute, logs: EVENT_LOGS, everyMs: options.pollEveryMs }),
  };
  const [first, ...others] = options.transports;
  return [open[first](), ...others.map((name) => open[name]())];
}

/** A transport that is opened with its first stream: whose it is may have to be asked first. */
function openLater(open: () => Promise<Transport>): Transport {
  let opened: Promise<Transport> | undefined;
  const closing = new AbortController();
  return {
    async *stream(request, { signal, onOpen }) {
      opened ??= open();
      const transport = await opened.catch((error: unknown) => {
        opened = undefined;
        throw error;
      });
      return yield* transport.stream(request, { onOpen, signal: AbortSignal.any([signal, closing.signal]) });
    },
    check: () => {
      void opened?.then(
        (transport) => {
          transport.check();
        },
        () => undefined,
      );
    },
    close: async () => {
      closing.abort();
      const transport = await opened?.catch(() => undefined);
      await transport?.close();
    },
  };
}
