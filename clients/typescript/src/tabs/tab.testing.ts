import { openConnections } from "../connection.ts";
import { follow } from "../follow.ts";
import { DEFAULT_RATE_LIMIT, rateLimit } from "../rate-limit.ts";
import { STORY } from "../testing.ts";
import { openLadder } from "../transport/ladder.ts";
import type { Transport } from "../transport/transport.ts";
import { openWebSocket } from "../transport/websocket.ts";
import { surroundings } from "../wake.ts";
import { openTabs, type TabsOptions } from "./tabs.ts";

/** A tab as a browser has it, with the channel and the locks of Node. */
export function openTestTab(
  name: string,
  apiUrl: string,
  options: Pick<TabsOptions, "answerWithinMs" | "askEveryMs"> = {},
): Transport {
  const heartbeat = { everyMs: 10_000, answerWithinMs: 5_000 };
  const url = apiUrl.replace("http", "ws");
  return openTabs({
    name,
    locks: navigator.locks,
    openChannel: (channel) => new BroadcastChannel(channel),
    openTransport: () =>
      openLadder({
        rungs: [openWebSocket({ url, token: "t", client: { name: "tabs", version: "1" }, heartbeat })],
        climbAfterMs: 5,
      }),
    ...options,
  });
}

/** Listens to a story, and keeps the numbers of its events as they are given out. */
export function listen(transport: Transport, signal?: AbortSignal) {
  const limit = rateLimit(DEFAULT_RATE_LIMIT);
  const context = { transport, connections: openConnections(), surroundings, limit, firstPauseMs: 5 };
  const seen: number[] = [];
  const done = (async () => {
    const request = { document: STORY, variables: { id: "a" } };
    for await (const { data } of follow(context, request, signal ? { signal } : {}))
      seen.push((data as { story: { seq: number } }).story.seq);
  })();
  return { seen, done };
}
