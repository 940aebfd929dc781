import type { FastifyInstance, FastifyRequest } from "fastify";
import ipaddr from "ipaddr.js";
import { readMetrics } from "./metrics.ts";

/** What whoever runs a server asks it: `/livez`, `/readyz` and `/metrics`, at the gateway and at a subgraph of its own. */

export function mountHealth(app: FastifyInstance, isReady: () => Promise<boolean>): void {
  app.get("/livez", () => ({ status: "alive" }));
  app.get("/readyz", async (_request, reply) => {
    const ready = await isReady();
    return reply.code(ready ? 200 : 503).send({ status: ready ? "ready" : "not ready" });
  });
  // For those who are near: it tells of all tenants together what no stranger needs to know.
  app.get("/metrics", async (request, reply) => {
    if (!isNear(request)) return reply.callNotFound();
    const { contentType, text } = await readMetrics();
    return reply.header("content-type", contentType).send(text);
  });
}

const NEAR: ReadonlySet<string> = new Set(["loopback", "private", "uniqueLocal", "linkLocal"]);

/** A proxy's own address says nothing of who stands behind it: whoever came by one that is not trusted is a stranger. */
function isNear({ ip, ips, headers }: FastifyRequest): boolean {
  if (headers["x-forwarded-for"] !== undefined && ips === undefined) return false;
  return ipaddr.isValid(ip) && NEAR.has(ipaddr.process(ip).range());
}
