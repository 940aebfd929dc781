import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { newId } from "@sba/platform/ids";
import { startSubgraphServer, type RunningServer } from "@sba/platform/server";
import { WebSocket } from "ws";
import { startGateway, type GatewayOptions, type RunningGateway } from "./gateway.ts";
import { openQueue, type Queue } from "./queue.ts";
import type { World } from "./world.testing.ts";

/** A gateway before the tests' world, and what its tests ask it with. */

export type Deployment = "in process" | "over HTTP";

export interface Served {
  readonly gateway: RunningGateway;
  /** Of the split deployment, each subgraph's server; empty in process. */
  readonly servers: ReadonlyMap<string, RunningServer>;
  close(): Promise<void>;
}

/** Starts a gateway before a world, in one of the two deployments. */
export async function serve(
  world: World,
  deployment: Deployment,
  options: Partial<GatewayOptions> = {},
): Promise<Served> {
  const servers = new Map<string, RunningServer>();
  if (deployment === "over HTTP") {
    for (const subgraph of world.subgraphs)
      servers.set(subgraph.name, await startSubgraphServer(subgraph, { host: "127.0.0.1", port: 0 }));
  }
  const subgraphs = world.subgraphs.map((subgraph) => {
    const server = servers.get(subgraph.name);
    return server ? { name: subgraph.name, url: server.url, routes: subgraph.routes } : subgraph;
  });
  const gateway = await startGateway({
    host: "127.0.0.1",
    port: 0,
    supergraphSdl: world.supergraphSdl,
    subgraphs,
    development: true,
    ...options,
  });
  return {
    gateway,
    servers,
    close: async () => {
      await gateway.close();
      for (const server of servers.values()) await server.close();
    },
  };
}

/** What an answer says of itself, such as its cost, is not what most tests are about. */
function withoutExtensions({
  extensions: _extensions,
  ...result
}: SocketResult & { readonly extensions?: unknown }): SocketResult {
  return result;
}

export interface Answer {
  readonly status: number;
  readonly extensions: Readonly<Record<string, unknown>> | undefined;
  readonly headers: Headers;
  readonly body: {
    readonly data?: Record<string, unknown> | null;
    readonly errors?: readonly {
      readonly message: string;
      readonly path?: readonly (string | number)[];
      readonly extensions: Record<string, unknown>;
    }[];
  };
}

/** Posts an operation. */
export async function post(
  { gateway }: Served,
  token: string | undefined,
  query: string,
  variables: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(gateway.graphqlUrl, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: JSON.stringify({ query, variables }),
  });
  const { extensions, ...body } = (await response.json()) as Answer["body"] & Pick<Answer, "extensions">;
  return { status: response.status, headers: response.headers, extensions, body };
}

export interface TestStream {
  /** A result, the errors that end the operation (`final`), or "complete". */
  next(): Promise<SocketResult | "complete">;
  /** The client's own end. */
  complete(): void;
}

export interface SocketResult {
  readonly data?: unknown;
  readonly errors?: readonly unknown[];
  readonly final?: boolean;
}

interface Message {
  readonly type: string;
  readonly id?: string;
  readonly payload?: unknown;
}

export interface TestSocket {
  send(message: object | string): void;
  /** The next message of a type that belongs to no operation. */
  message(type: string): Promise<Message>;
  subscribe(query: string, variables?: Record<string, unknown>): TestStream;
  /** Settles when the socket is closed, by whichever side. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  close(): Promise<void>;
  /** The socket itself, to be paused or broken. */
  readonly socket: WebSocket;
}

/** A raw socket that speaks the protocol by hand, so that what graphql-ws's client hides can be seen. */
export async function openTestSocket(
  served: Served,
  payload?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<TestSocket> {
  const socket = connectRaw(served, headers);
  await once(socket.socket, "open");
  if (payload === undefined) return socket;
  socket.send({ type: "connection_init", payload });
  await Promise.race([
    socket.message("connection_ack"),
    socket.closed.then(({ code, reason }) => {
      throw new Error(`closed with ${code} ${reason}`);
    }),
  ]);
  return socket;
}

function connectRaw({ gateway }: Served, headers: Readonly<Record<string, string>>): TestSocket {
  const socket = new WebSocket(gateway.subscriptionsUrl, "graphql-transport-ws", {
    // Compression would hide how much is on its way.
    perMessageDeflate: false,
    headers,
  });
  const streams = new Map<string, Queue<SocketResult>>();
  const loose = new Map<string, Queue<Message>>();
  const queueOf = (type: string): Queue<Message> => {
    const queue = loose.get(type) ?? openQueue<Message>(() => undefined);
    loose.set(type, queue);
    return queue;
  };
  socket.on("message", (text: Buffer) => {
    const message = JSON.parse(text.toString()) as Message;
    const stream = message.id === undefined ? undefined : streams.get(message.id);
    if (!stream) queueOf(message.type).push(message);
    else if (message.type === "next") stream.push(withoutExtensions(message.payload as SocketResult));
    else if (message.type === "error") {
      stream.push({ errors: message.payload as unknown[], final: true });
      stream.end();
    } else stream.end();
  });
  const closed = new Promise<{ readonly code: number; readonly reason: string }>((resolve) => {
    socket.once("close", (code, reason) => {
      resolve({ code, reason: String(reason) });
    });
  });
  // Who still waits for a message then is told that there is none.
  void closed.then(() => {
    for (const queue of [...loose.values(), ...streams.values()]) queue.end();
  });
  socket.on("error", () => undefined);
  const send = (message: object | string): void => {
    socket.send(typeof message === "string" ? message : JSON.stringify(message));
  };
  return {
    socket,
    send,
    closed,
    message: async (type) => (await queueOf(type).next()).value ?? { type: "nothing" },
    subscribe: (query, variables = {}) => {
      const id = newId();
      const stream = openQueue<SocketResult>(() => undefined);
      streams.set(id, stream);
      send({ id, type: "subscribe", payload: { query, variables } });
      return {
        next: async () => (await stream.next()).value ?? "complete",
        complete: () => {
          send({ id, type: "complete" });
        },
      };
    },
    close: async () => {
      socket.close(1000);
      await closed;
    },
  };
}

/** What this process holds when the garbage is gone. */
export function heapMiB(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed / 2 ** 20;
}
