import { connect, type Socket } from "node:net";

/**
 * One connection that asks the same again and again, its request written once: with a client library around it, who asks would
 * take as much of two processors as who is measured.
 */
export interface Connection {
  /** Resolves when the whole answer is there. @throws Error when it is none with data alone */
  ask(): Promise<void>;
  close(): void;
}

export interface Question {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const HEAD_END = "\r\n\r\n";
const ALL_IS_WELL = Buffer.from('{"data":');
const ERRORS = '"errors":';

export async function openConnection(question: Question): Promise<Connection> {
  const { hostname, port } = new URL(question.url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  const request = toRequest(question);
  return {
    ask: () => ask(socket, request),
    close: () => {
      socket.destroy();
    },
  };
}

function toRequest({ url, headers, body }: Question): Buffer {
  const { host, pathname } = new URL(url);
  const all = {
    host,
    ...headers,
    "content-type": "application/json",
    accept: "application/json",
    "content-length": String(Buffer.byteLength(body)),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
}

function ask(socket: Socket, request: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer: Buffer = Buffer.alloc(0);
    const settle = (error?: Error): void => {
      socket.off("data", take).off("close", lost);
      if (error) reject(error);
      else resolve();
    };
    const take = (chunk: Buffer): void => {
      answer = answer.length === 0 ? chunk : Buffer.concat([answer, chunk]);
      const body = bodyOf(answer);
      if (body) settle(isGood(body) ? undefined : new Error(`answered ${answer.toString()}`));
    };
    const lost = (): void => {
      settle(new Error("the server has closed the connection"));
    };
    if (socket.destroyed) {
      lost();
      return;
    }
    socket.on("data", take).once("close", lost);
    socket.write(request);
  });
}

/** Undefined while it is not whole. @throws Error without a length: no server that is measured answers in chunks */
function bodyOf(answer: Buffer): Buffer | undefined {
  const end = answer.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const length = /content-length: *(\d+)/i.exec(answer.toString("latin1", 0, end))?.[1];
  if (length === undefined) throw new Error("an answer that does not say its length");
  const start = end + HEAD_END.length;
  return answer.length < start + Number(length) ? undefined : answer.subarray(start);
}

function isGood(body: Buffer): boolean {
  return body.subarray(0, ALL_IS_WELL.length).equals(ALL_IS_WELL) && !body.includes(ERRORS);
}
