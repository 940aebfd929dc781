import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { GraphQLError, parse, type ExecutionArgs } from "graphql";
import { handleProtocols, makeServer } from "graphql-ws";
import { WebSocketServer, type WebSocket } from "ws";

/** A scripted API: WebSocket, server-sent events and HTTP of which a test says what they do. */

interface Event {
  readonly story: { readonly cursor: string; readonly seq: number };
}
const document = <Data, V extends Record<string, unknown> = Record<string, never>>(source: string) =>
  parse(source) as TypedDocumentNode<Data, V>;
export const QUERY = document<{ greeting: string }, { name: string }>(
  "query Greet($name: String!) { greeting(name: $name) }",
);
export const STORY = document<Event, { id: string; after?: string | null }>(
  "subscription Story($id: ID!, $after: Cursor) { story(id: $id, after: $after) { cursor seq } }",
);

export interface Api {
  readonly url: string;
  answer: (
    request: { readonly headers: IncomingMessage["headers"]; readonly body: { query: string; variables: unknown } },
    response: ServerResponse,
  ) => void;
  /** The events of a subscription, by the variables that it came with. */
  stream: (variables: Record<string, unknown>) => AsyncGenerator<unknown>;
  connect: (params: Record<string, unknown> | undefined, socket: WebSocket) => Record<string, unknown> | boolean;
  readonly subscribed: Record<string, unknown>[];
  readonly sockets: Set<WebSocket>;
  readonly pings: unknown[];
  /** False lets nobody open a WebSocket, as some networks do. */
  letsSocketsThrough: boolean;
  /** False leaves the client's pings unanswered, as a peer does that is gone. */
  answersPings: boolean;
  /** False knows no server-sent events. */
  sendsEvents: boolean;
  /** Who listens to server-sent events now, and with what each began. */
  readonly responses: Set<ServerResponse>;
  readonly listened: {
    readonly variables: Record<string, unknown>;
    readonly lastEventId: string | undefined;
    readonly client: unknown;
  }[];
  close(): Promise<void>;
}

export const event = (seq: number) => ({ data: { story: { cursor: `c${seq}`, seq } } });

export async function startApi(): Promise<Api> {
  const http: Server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
      const body = JSON.parse(Buffer.concat(chunks).toString()) as {
        query: string;
        variables: Record<string, unknown>;
      };
      if (request.url === "/graphql/stream") await sendEvents(api, request, body, response);
      else api.answer({ headers: request.headers, body }, response);
    })();
  });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols });
  http.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (!api.letsSocketsThrough) socket.destroy();
    else
      sockets.handleUpgrade(request, socket, head, (opened) => {
        sockets.emit("connection", opened, request);
      });
  });
  const protocol = makeServer<Record<string, unknown>, { socket: WebSocket }>({
    onConnect: ({ connectionParams, extra }) => api.connect(connectionParams, extra.socket),
    onSubscribe: (_context, _id, { query, variables }) => {
      api.subscribed.push(variables ?? {});
      // What asks only whether anybody answers is not what a test counts.
      if (!query.startsWith("subscription")) api.subscribed.pop();
      return { document: parse(query), contextValue: variables ?? {} } as unknown as ExecutionArgs;
    },
    execute: () => ({ data: { __typename: "Query" } }),
    subscribe: ({ contextValue }) => api.stream(contextValue as Record<string, unknown>) as AsyncGenerator<never>,
    onError: (_context, _id, _payload, errors) =>
      errors.map((error) => (error.originalError instanceof GraphQLError ? error.originalError : error).toJSON()),
  });
  sockets.on("connection", (socket) => {
    api.sockets.add(socket);
    const closed = protocol.opened(
      {
        protocol: socket.protocol,
        send: (data) => {
          socket.send(data);
        },
        close: (code, reason) => {
          socket.close(code, reason);
        },
        onMessage: (handle) => {
          socket.on("message", (data: Buffer) => void handle(data.toString()));
        },
        onPing: (payload) => {
          api.pings.push(payload);
          if (!api.answersPings) return;
          socket.send(
            JSON.stringify({
              type: "pong",
              payload: { authorization: { expiresAt: new Date(Date.now() + 60_000).toISOString() } },
            }),
          );
        },
      },
      { socket },
    );
    socket.once("close", (code, reason) => {
      api.sockets.delete(socket);
      void closed(code, String(reason));
    });
  });
  await once(http.listen(0, "127.0.0.1"), "listening");
  const api: Api = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/graphql`,
    answer: (_request, response) => {
      response.end(JSON.stringify({ data: {} }));
    },
    async *stream() {
      yield await Promise.resolve(event(1));
    },
    connect: () => true,
    subscribed: [],
    sockets: new Set(),
    pings: [],
    letsSocketsThrough: true,
    answersPings: true,
    sendsEvents: true,
    responses: new Set(),
    listened: [],
    close: async () => {
      for (const socket of api.sockets) socket.terminate();
      sockets.close();
      http.closeAllConnections();
      await new Promise((resolve) => {
        http.close(resolve);
      });
    },
  };
  return api;
}

/** GraphQL over server-sent events, distinct connections. */
async function sendEvents(
  api: Api,
  request: IncomingMessage,
  { query, variables }: { readonly query: string; readonly variables: Record<string, unknown> },
  response: ServerResponse,
): Promise<void> {
  if (!api.sendsEvents) {
    const errors = [{ message: "There is no such route.", extensions: { code: "NOT_FOUND" } }];
    response.writeHead(404).end(JSON.stringify({ errors }));
    return;
  }
  const lastEventId = request.headers["last-event-id"] as string | undefined;
  response.writeHead(200, { "content-type": "text/event-stream" }).write(":\n\n");
  if (query.startsWith("subscription")) {
    api.listened.push({
      variables,
      lastEventId,
      client: {
        name: request.headers["apollographql-client-name"],
        version: request.headers["apollographql-client-version"],
      },
    });
    api.responses.add(response);
    response.once("close", () => api.responses.delete(response));
    for await (const result of api.stream(variables))
      response.write(`id: ${Math.random()}\nevent: next\ndata: ${JSON.stringify(result)}\n\n`);
  } else response.write('event: next\ndata: {"data":{"__typename":"Query"}}\n\n');
  response.end("event: complete\ndata:\n\n");
}

export async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const each of events) collected.push(each);
  return collected;
}
export const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
