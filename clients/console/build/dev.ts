import { createServer } from "vite";

/** `npm run console [-- URL]`: the console as its sources are, on top of a system that runs. */
const server = await createServer({ configFile: `${import.meta.dirname}/../vite.config.ts` });
await server.listen();
server.printUrls();
const stop = (): void => {
  void server.close().finally(() => process.exit(0));
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "disconnect"]) process.on(signal, stop);
