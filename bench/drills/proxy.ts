import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A TCP proxy between our processes and a service: what a network does to connections, on purpose. */
export interface Proxy {
  readonly port: number;
  /** Resets every connection; new ones are accepted. */
  cut(): void;
  /** Bytes stand still, both ways, until `resume`. */
  stall(): void;
  /** What the service answers is thrown away until `resume`: it does what it was asked, and nobody hears of it. */
  loseAnswers(): void;
  resume(): void;
  close(): Promise<void>;
}

type Mode = "flowing" | "stalled" | "mute";

export async function openProxy(targetPort: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let mode: Mode = "flowing";

  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    if (mode === "stalled") socket.pause();
    return socket;
  };
  const server = createServer((client) => {
    keep(client);
    const service = keep(connect(targetPort, "127.0.0.1"));
    client.on("data", (chunk) => service.write(chunk));
    service.on("data", (chunk) => mode !== "mute" && client.write(chunk));
    client.on("close", () => service.destroy());
    service.on("close", () => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    stall: () => {
      mode = "stalled";
      for (const socket of sockets) socket.pause();
    },
    loseAnswers: () => {
      mode = "mute";
    },
    resume: () => {
      mode = "flowing";
      for (const socket of sockets) socket.resume();
    },
    close: async () => {
      server.close();
      cut();
      await once(server, "close");
    },
  };
}
