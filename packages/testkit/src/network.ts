import { Socket } from "node:net";

/** For tests of what has to do without the network. */

export interface DeniedNetwork {
  /** Where somebody wanted to connect to. */
  readonly refused: readonly string[];
  restore(): void;
}

/** Refuses every connection that this process opens from now on, except those to one port of this machine, or to the socket of a Postgres with it. */
export function denyNetwork({ exceptPort }: { readonly exceptPort: number }): DeniedNetwork {
  const refused: string[] = [];
  const connect = Socket.prototype.connect;
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]): Socket {
    const target = targetOf(args);
    if (target === String(exceptPort) || target.endsWith(`/.s.PGSQL.${exceptPort}`))
      return Reflect.apply(connect, this, args);
    refused.push(target);
    process.nextTick(() => this.destroy(new Error(`the network is denied: ${target}`)));
    return this;
  };
  return {
    refused,
    restore: () => {
      Socket.prototype.connect = connect;
    },
  };
}

/** As a port of this machine, or whatever else it is. */
function targetOf(args: readonly unknown[]): string {
  // net.connect hands its normalised arguments on as one array.
  const [first, host] = Array.isArray(args[0]) ? (args[0] as unknown[]) : args;
  const named = typeof first === "object" && first !== null ? first : { port: first, host };
  const { host: to = "localhost", port, path } = named as { host?: string; port?: unknown; path?: string };
  return path ?? (to === "localhost" || to === "127.0.0.1" ? String(port) : `${to}:${String(port)}`);
}
