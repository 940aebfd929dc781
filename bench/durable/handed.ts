import { Redis } from "ioredis";

/** Work that goes by hand from one process to another and back, told by Redis: who is told finds what there is to do in Postgres. */

const HANDED = "by-hand:handed";
const BEGUN = "by-hand:begun";

function connect(): Redis {
  return new Redis({ host: "127.0.0.1", port: Number(process.env["BARE_REDIS_PORT"]) });
}

/** In who hands on. Resolves when it is heard that the work is begun. */
export async function openHandingOn(): Promise<(id: string) => Promise<void>> {
  const [teller, listener] = [connect(), connect()];
  const waiting = new Map<string, () => void>();
  listener.on("message", (_topic, id) => {
    waiting.get(id)?.();
    waiting.delete(id);
  });
  await listener.subscribe(BEGUN);
  return (id) =>
    new Promise((resolve, reject) => {
      waiting.set(id, resolve);
      teller.publish(HANDED, id).catch(reject);
    });
}

/** In the worker: begins what it is told of, and says so. */
export async function beginHanded(begin: (id: string) => Promise<void>): Promise<void> {
  const [teller, listener] = [connect(), connect()];
  listener.on("message", (_topic, id) => {
    void begin(id).then(() => teller.publish(BEGUN, id));
  });
  await listener.subscribe(HANDED);
}
