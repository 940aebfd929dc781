import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { openEgress } from "@sba/platform/egress";
import { afterAll, afterEach, beforeAll } from "vitest";

/** A receiver of webhooks for tests, as the outside world is: it does what it is told with what comes. */

export interface Received {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answer = (response: ServerResponse) => void;

export interface Sink {
  readonly received: Received[];
  url(path?: string): string;
  /** What it does with the next requests, in order; afterwards it answers 200. */
  script(...answers: readonly Answer[]): void;
}

export const answer =
  (status: number, text = "", headers: Readonly<Record<string, string>> = {}): Answer =>
  (response) =>
    response.writeHead(status, headers).end(text);

/** It has the request, and the connection breaks. */
export const breakOff: Answer = (response) => {
  response.socket?.destroy();
};

/** Gives a test file a sink that it may call. Call it at the top of the file. */
export function useSink(): Sink {
  const received: Received[] = [];
  const scripted: Answer[] = [];
  let baseUrl = "";
  let closeEgress: () => Promise<void>;
  const server = createServer((request, response) => {
    void receive(request).then((now) => {
      received.push(now);
      (scripted.shift() ?? answer(200, "thanks"))(response);
    });
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    closeEgress = openEgress({ allowedHosts: ["127.0.0.1"] });
  });
  afterEach(() => {
    received.length = 0;
    scripted.length = 0;
  });
  afterAll(async () => {
    await closeEgress();
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });
  return { received, url: (path = "/") => baseUrl + path, script: (...answers) => scripted.push(...answers) };
}

async function receive(request: IncomingMessage): Promise<Received> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return {
    method: request.method,
    path: request.url,
    headers: request.headers,
    body: Buffer.concat(pieces).toString(),
  };
}
