import { once } from "node:events";
import { request } from "node:http";
import type { AddressInfo } from "node:net";
import Fastify from "fastify";
import { afterEach, describe, expect, test } from "vitest";
import { mountRoutes, type RouteRequest } from "./routes.ts";

const app = Fastify();
afterEach(() => app.close());

describe("a route", () => {
  test("is told of a client that leaves, also while it is found out who that is", async () => {
    const asked = Promise.withResolvers<undefined>();
    const known = Promise.withResolvers<undefined>();
    const handled = Promise.withResolvers<RouteRequest>();
    const path = "/slow";
    const handle = (asking: RouteRequest) => {
      handled.resolve(asking);
      return Promise.resolve({ status: 200 });
    };
    await mountRoutes(app, [{ method: "GET", path, handle }], () => async ({ raw }) => {
      asked.resolve(undefined);
      await once(raw.socket, "close");
      await known.promise;
      return { caller: undefined, requestId: "1" };
    });
    await app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = app.server.address() as AddressInfo;
    const client = request({ host: "127.0.0.1", port, path }).on("error", () => undefined);
    client.end();
    await asked.promise;
    client.destroy();
    known.resolve(undefined);
    expect((await handled.promise).signal.aborted).toBe(true);
  });
});
