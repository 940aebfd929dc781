import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { logger } from "./log.ts";
import { readMetrics } from "./metrics.ts";

/** `/metrics` of a process that serves nothing else. It tells of all tenants together: let nobody reach it but who collects it. */

interface MetricsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** @param port 0 picks a free one. @throws when the address is taken */
export async function serveMetrics({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url?.split("?", 1)[0] !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    readMetrics().then(
      ({ contentType, text }) => response.writeHead(200, { "content-type": contentType }).end(text),
      (error: unknown) => {
        logger.error({ err: error }, "metrics could not be read");
        response.writeHead(500).end();
      },
    );
  });
  await once(server.listen(port, host), "listening");
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${(server.address() as AddressInfo).port}/metrics`;
  logger.info({ "metrics.url": url }, "metrics are served");
  return {
    url,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
