import { randomUUID } from "node:crypto";
import { WebSocket } from "ws";

/** Thousands of subscribers in one process: they count what they are given, and the last cursor, and little else. */

export type ClientsRequest =
  | { readonly ask: "open"; readonly url: string; readonly count: number; readonly stream?: StreamToRead }
  /** Answered when every socket has got so many events since it was opened. */
  | { readonly ask: "await"; readonly events: number }
  /** Cuts every socket at once and opens each again after its last cursor; answered when all have asked for their stream again. */
  | { readonly ask: "storm" }
  | { readonly ask: "close" };

interface StreamToRead {
  readonly token: string;
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

export interface Received {
  /** Of every twentieth socket: milliseconds from an event's `sent:<epoch>` to its arrival. */
  readonly delaysMs: readonly number[];
  /** Sockets to which an event came that was not the next one. */
  readonly broken: number;
}

class Subscriber {
  events = 0;
  seq = 0;
  cursor: string | null = null;
  broken = false;
  socket: WebSocket | undefined;
  readonly isSampled: boolean;

  constructor(index: number) {
    this.isSampled = index % 20 === 0;
  }

  take(text: Buffer): void {
    this.events++;
    const start = text.toString("latin1", 0, 400);
    const [, seq] = /"seq":(\d+)/.exec(start) ?? [];
    if (seq !== undefined) {
      this.broken ||= Number(seq) !== this.seq + 1;
      this.seq = Number(seq);
      this.cursor = /"cursor":"([\w-]+)"/.exec(start)?.[1] ?? null;
    }
    if (!this.isSampled) return;
    const [, sent] = /sent:([\d.]+)/.exec(start) ?? [];
    if (sent !== undefined) delaysMs.push(Date.now() - Number(sent));
  }
}

let asked: Extract<ClientsRequest, { ask: "open" }> | undefined;
let subscribers: Subscriber[] = [];
let delaysMs: number[] = [];
let onProgress = (): void => undefined;

function connect(subscriber: Subscriber, { url, stream }: NonNullable<typeof asked>): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, stream ? ["graphql-transport-ws"] : [], { perMessageDeflate: false });
    subscriber.socket = socket;
    socket.on("error", reject);
    socket.on("open", () => {
      if (!stream) resolve();
      else
        socket.send(JSON.stringify({ type: "connection_init", payload: { authorization: `Bearer ${stream.token}` } }));
    });
    socket.on("message", (data: Buffer) => {
      if (!stream || data.includes('"type":"next"')) {
        subscriber.take(data);
        onProgress();
      } else if (data.includes("connection_ack")) {
        const { query, variables } = stream;
        const payload = { query, variables: { ...variables, after: subscriber.cursor } };
        socket.send(JSON.stringify({ id: randomUUID(), type: "subscribe", payload }));
        resolve();
      } else if (data.includes('"type":"error"')) reject(new Error(data.toString()));
    });
  });
}

/** A few hundred at a time: a listener's backlog is short. */
async function connectAll(): Promise<void> {
  if (!asked) throw new Error("nothing was opened");
  for (let from = 0; from < subscribers.length; from += 250) {
    const some = subscribers.slice(from, from + 250);
    for (const each of await Promise.allSettled(some.map((subscriber) => connect(subscriber, asked!))))
      if (each.status === "rejected") throw each.reason;
  }
}

function cutAll(): void {
  for (const { socket } of subscribers) {
    socket?.removeAllListeners();
    socket?.on("error", () => undefined);
    socket?.terminate();
  }
}

function awaitEvents(events: number): Promise<void> {
  return new Promise((resolve) => {
    let behind = 0;
    const look = (): void => {
      // Looks at the first that has not got there, and not at all each time.
      while (behind < subscribers.length && (subscribers[behind]?.events ?? 0) >= events) behind++;
      if (behind < subscribers.length) return;
      onProgress = () => undefined;
      resolve();
    };
    onProgress = look;
    look();
  });
}

async function answer(request: ClientsRequest): Promise<Received> {
  if (request.ask === "open") {
    asked = request;
    subscribers = Array.from({ length: request.count }, (_, index) => new Subscriber(index));
    await connectAll();
  } else if (request.ask === "await") await awaitEvents(request.events);
  else if (request.ask === "storm") {
    cutAll();
    await connectAll();
  } else cutAll();
  const received = { delaysMs, broken: subscribers.filter(({ broken }) => broken).length };
  delaysMs = [];
  return received;
}

process.on("message", (request: ClientsRequest) => {
  answer(request).then(
    (received) => process.send?.(received),
    (error: unknown) => {
      throw error;
    },
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
