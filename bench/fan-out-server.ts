import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "@sba/gateway/testing";
import { createWorld } from "@sba/gateway/world.testing";
import { connectDatabase, type DatabaseUrls } from "@sba/platform/db";
import { setLogLevel } from "@sba/platform/log";
import { openPubSub, usePubSub } from "@sba/platform/pubsub";
import { useSecretKey } from "@sba/platform/secrets";
import { WebSocketServer } from "ws";

/**
 * What the fan-out is measured with, each in a process of its own: our gateway before one stream of the journal, or a plain
 * `ws` server that sends the same text to every socket.
 */

export type ServerKind = "gateway" | "ws";

export interface ServerReady {
  readonly url: string;
  /** Of the gateway: whose stream it is, and the credentials to read it. */
  readonly tenantId?: string;
  readonly token?: string;
}

export type ServerRequest =
  | { readonly ask: "usage" }
  /** Of the plain server: so many events one after the other, each in a turn of its own. */
  | { readonly ask: "broadcast"; readonly texts: readonly string[] };

export interface Usage {
  readonly cpuMs: number;
  readonly rssBytes: number;
}

async function startGatewayServer(urls: DatabaseUrls): Promise<ServerReady> {
  connectDatabase({ ...urls, poolSize: 4 });
  useSecretKey("the-secret-key-of-a-benchmark-only");
  usePubSub(await openPubSub({ databaseUrl: urls.app }));
  const world = await createWorld();
  const { gateway } = await serve(world, "in process");
  const member = world.join(["run:read"]);
  const token = await member.token({ exp: Math.floor(Date.now() / 1000) + 3_600 });
  return { url: gateway.subscriptionsUrl, tenantId: member.tenantId, token };
}

async function startPlainServer(): Promise<ServerReady> {
  const http: Server = createServer();
  const sockets = new WebSocketServer({ server: http });
  process.on("message", (request: ServerRequest) => {
    if (request.ask !== "broadcast") return;
    const next = (index: number): void => {
      const text = request.texts[index];
      if (text === undefined) return;
      for (const socket of sockets.clients) socket.send(text);
      setImmediate(next, index + 1);
    };
    next(0);
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", 2_048, resolve));
  return { url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}` };
}

function usage(): Usage {
  (globalThis as { gc?: () => void }).gc?.();
  const { user, system } = process.cpuUsage();
  return { cpuMs: (user + system) / 1000, rssBytes: process.memoryUsage.rss() };
}

setLogLevel("error");
const [kind, urls] = process.argv.slice(2);
process.on("message", ({ ask }: ServerRequest) => {
  if (ask === "usage") process.send?.(usage());
});
process.on("disconnect", () => process.exit(0));
process.send?.(
  kind === "gateway" ? await startGatewayServer(JSON.parse(urls ?? "") as DatabaseUrls) : await startPlainServer(),
);
