import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** The world outside: it does what it is sent, once for each idempotency key, and remembers. */
export interface Sink {
  readonly url: string;
  /** How often it did something, by key. */
  readonly effects: ReadonlyMap<string, number>;
  /** Resolves when something was done and is not answered yet. */
  isHolding(): Promise<void>;
  /** From here on a repeat does its work again, as if there were no keys. */
  forgetKeys(): void;
  close(): Promise<void>;
}

/** Between what it does and its answer: a worker that dies meanwhile does not know that it was done. */
const ANSWERS_AFTER_MS = 600;

export async function openSink(): Promise<Sink> {
  const effects = new Map<string, number>();
  let honoursKeys = true;
  let held = 0;
  let holding = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    const key = String(request.headers["idempotency-key"]);
    const times = effects.get(key) ?? 0;
    if (times === 0 || !honoursKeys) effects.set(key, times + 1);
    request.resume();
    held += 1;
    holding.resolve();
    void delay(ANSWERS_AFTER_MS).then(() => {
      held -= 1;
      if (held === 0) holding = Promise.withResolvers<void>();
      response.end("done");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    effects,
    isHolding: () => holding.promise,
    forgetKeys: () => {
      honoursKeys = false;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
