import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { FastifyInstance } from "fastify";

/** Requests under way are waited for so long; supervisors kill after 10 s. */
const LAST_ANSWERS_MS = 5_000;

/**
 * Closes the server when the requests under way are answered. Node takes a connection on which nothing was asked yet for a busy one,
 * and browsers open some ahead: they are cut at once, and whoever does not finish a request in time, after that.
 */
export function openClosing(app: FastifyInstance): () => Promise<void> {
  const silent = new Set<Duplex>();
  let isClosing = false;
  const hasSpoken = ({ socket }: IncomingMessage): void => {
    silent.delete(socket);
  };
  app.server.on("connection", (socket: Duplex) => {
    if (isClosing) socket.destroy();
    silent.add(socket);
    socket.once("close", () => silent.delete(socket));
  });
  app.server.on("request", hasSpoken).on("upgrade", hasSpoken);
  return async () => {
    isClosing = true;
    for (const socket of silent) socket.destroy();
    const cut = setTimeout(() => {
      app.server.closeAllConnections();
    }, LAST_ANSWERS_MS);
    await app.close();
    clearTimeout(cut);
  };
}
