import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { egressFetch, limitedFetch, openEgress, type EgressOptions } from "./egress.ts";
import { ensureAppError } from "./errors.ts";

const METADATA = "169.254.169.254";

/** The code of what an attempt was refused with. */
async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => "nothing was thrown",
    (error: unknown) => ensureAppError(error).code,
  );
}

describe("a call", () => {
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  /** A server of the outside world; the number of connections that reached it. */
  async function serve(
    listener: RequestListener,
  ): Promise<{ port: number; connections: () => number; server: Server }> {
    const server = createServer(listener);
    let connections = 0;
    server.on("connection", () => {
      connections++;
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the server has no port");
    return { port: address.port, connections: () => connections, server };
  }

  function allow(allowedHosts: string[], options: Omit<EgressOptions, "allowedHosts"> = {}): void {
    closing.push(openEgress({ allowedHosts, ...options }));
  }

  it("without a policy is a mistake of the program", async () => {
    await expect(egressFetch("https://example.com")).rejects.toThrow("openEgress was not called");
  });

  it("brings method, headers and body there, and status, headers and body back", async () => {
    const { port } = await serve((request, response) => {
      void request.toArray().then((chunks: Buffer[]) => {
        response.writeHead(201, { "x-method": request.method ?? "", "x-seen": request.headers["x-sent"] ?? "" });
        response.end(`got ${Buffer.concat(chunks).toString()}`);
      });
    });
    allow(["127.0.0.1"]);
    const response = await egressFetch(`http://127.0.0.1:${port}/`, {
      method: "POST",
      headers: { "x-sent": "yes" },
      body: "hello",
    });
    expect(response.status).toBe(201);
    expect(response.headers.get("x-method")).toBe("POST");
    expect(response.headers.get("x-seen")).toBe("yes");
    await expect(response.text()).resolves.toBe("got hello");
  });

  it("brings back an answer without a body, and one that streams, as it comes", async () => {
    const { port } = await serve((request, response) => {
      if (request.url === "/empty") {
        response.writeHead(204).end();
        return;
      }
      response.write("first");
      request.socket.once("data", () => response.end("second"));
    });
    allow(["127.0.0.1"]);
    expect((await egressFetch(`http://127.0.0.1:${port}/empty`)).status).toBe(204);
    const abort = new AbortController();
    const response = await egressFetch(`http://127.0.0.1:${port}/stream`, { signal: abort.signal });
    const body = response.body?.getReader();
    expect(Buffer.from((await body?.read())?.value ?? []).toString()).toBe("first");
    abort.abort();
    await expect(body?.read()).rejects.toThrow(/abort/i);
  });

  it("never reaches a host that is not listed, nor an address behind it", async () => {
    const { port, connections } = await serve((_request, response) => response.end("secret"));
    allow(["public.test"], { resolve: () => Promise.resolve(["127.0.0.1"]) });
    for (const url of [
      `http://127.0.0.1:${port}`,
      `http://localhost:${port}`,
      `http://[::ffff:127.0.0.1]:${port}`,
      `http://2130706433:${port}`,
      `https://public.test:${port}`,
      "not a url",
    ]) {
      expect(await codeOf(egressFetch(url)), url).toBe("EGRESS_REFUSED");
    }
    expect(connections()).toBe(0);
  });

  it("refuses a name with one address inside among public ones", async () => {
    const { port, connections } = await serve((_request, response) => response.end());
    allow(["public.test"], { resolve: () => Promise.resolve(["93.184.215.14", "127.0.0.1"]) });
    expect(await codeOf(egressFetch(`https://public.test:${port}`))).toBe("EGRESS_REFUSED");
    expect(connections()).toBe(0);
  });

  it("judges the address it connects to: a name that moves is judged again, and looked up once a connection", async () => {
    const { port } = await serve((_request, response) => response.setHeader("connection", "close").end("ok"));
    const answers = ["127.0.0.1", METADATA];
    let lookups = 0;
    allow(["private:moving.test"], { resolve: () => Promise.resolve([answers[lookups++] ?? "::"]) });
    const first = await egressFetch(`http://moving.test:${port}`);
    await expect(first.text()).resolves.toBe("ok");
    expect(lookups).toBe(1);
    expect(await codeOf(egressFetch(`http://moving.test:${port}`))).toBe("EGRESS_REFUSED");
    expect(lookups).toBe(2);
  });

  it("does not follow a redirect, wherever it leads", async () => {
    const visited: string[] = [];
    const { port } = await serve((request, response) => {
      visited.push(request.url ?? "");
      response
        .writeHead(302, { location: request.url === "/self" ? "/inside" : `http://${METADATA}/latest/meta-data` })
        .end();
    });
    allow(["127.0.0.1"]);
    expect(await codeOf(egressFetch(`http://127.0.0.1:${port}/self`))).toBe("EGRESS_REFUSED");
    expect(await codeOf(egressFetch(`http://127.0.0.1:${port}/away`))).toBe("EGRESS_REFUSED");
    expect(visited).toEqual(["/self", "/away"]);
  });

  it("ends at the time limit when no answer comes", async () => {
    const { port } = await serve(() => undefined);
    allow(["127.0.0.1"]);
    expect(await codeOf(egressFetch(`http://127.0.0.1:${port}`, {}, { timeoutMs: 50 }))).toBe("EGRESS_TIMED_OUT");
    expect(await codeOf(egressFetch(`http://127.0.0.1:${port}`, {}, { idleTimeoutMs: 50 }))).toBe("EGRESS_TIMED_OUT");
  });

  it("ends at the time limit when the answer only drips", async () => {
    const { port } = await serve((_request, response) => {
      const drip = setInterval(() => response.write("."), 10);
      response.on("close", () => {
        clearInterval(drip);
      });
    });
    allow(["127.0.0.1"]);
    const response = await egressFetch(`http://127.0.0.1:${port}`, {}, { timeoutMs: 200, idleTimeoutMs: 5_000 });
    expect(await codeOf(response.text())).toBe("EGRESS_TIMED_OUT");
  });

  it("ends when the answer falls silent, but not while it keeps coming", async () => {
    const { port } = await serve((_request, response) => {
      let written = 0;
      const drip = setInterval(() => {
        if (written++ < 20) response.write(".");
      }, 10);
      response.on("close", () => {
        clearInterval(drip);
      });
    });
    allow(["127.0.0.1"]);
    const response = await egressFetch(`http://127.0.0.1:${port}`, {}, { idleTimeoutMs: 150 });
    const received: number[] = [];
    const reading = response.body!.pipeTo(new WritableStream({ write: (chunk) => void received.push(chunk.length) }));
    expect(await codeOf(reading)).toBe("EGRESS_TIMED_OUT");
    expect(received.reduce((sum, length) => sum + length, 0)).toBe(20);
  });

  it("refuses an answer that announces too much, before it reads it", async () => {
    const { port } = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "2000000" });
      response.flushHeaders();
    });
    allow(["127.0.0.1"]);
    expect(await codeOf(egressFetch(`http://127.0.0.1:${port}`, {}, { maxBytes: 1_000_000 }))).toBe("EGRESS_TOO_LARGE");
  });

  it("stops an answer without an announced length at the limit, and closes the connection", async () => {
    let closed: Promise<unknown> = Promise.resolve();
    const { port } = await serve((request, response) => {
      closed = new Promise((resolve) => {
        request.socket.once("close", resolve);
      });
      const chunk = Buffer.alloc(64 * 1024);
      const pump = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on("drain", pump);
      pump();
    });
    allow(["127.0.0.1"]);
    const response = await egressFetch(`http://127.0.0.1:${port}`, {}, { maxBytes: 200_000 });
    expect(await codeOf(response.arrayBuffer())).toBe("EGRESS_TOO_LARGE");
    await closed;
  });

  it("counts what a compressed answer unfolds to", async () => {
    const bomb = gzipSync(Buffer.alloc(5_000_000));
    const { port } = await serve((_request, response) => response.setHeader("content-encoding", "gzip").end(bomb));
    allow(["127.0.0.1"]);
    expect(bomb.length).toBeLessThan(20_000);
    const response = await egressFetch(`http://127.0.0.1:${port}`, {}, { maxBytes: 100_000 });
    expect(await codeOf(response.arrayBuffer())).toBe("EGRESS_TOO_LARGE");
  });

  it("lets an answer of exactly the limit pass", async () => {
    const { port } = await serve((_request, response) => {
      response.write("x".repeat(500));
      response.end("x".repeat(500));
    });
    allow(["127.0.0.1"]);
    const response = await egressFetch(`http://127.0.0.1:${port}`, {}, { maxBytes: 1_000 });
    expect((await response.text()).length).toBe(1_000);
  });

  it("says so when the other side is not there, breaks off, or has no name", async () => {
    const { port } = await serve((request, response) => {
      if (request.url === "/") request.socket.destroy();
      else
        response.write("partial", () => {
          request.socket.destroy();
        });
    });
    allow(["127.0.0.1", "private:nowhere.test"], { resolve: () => Promise.resolve([]) });
    expect(await codeOf(egressFetch(`http://127.0.0.1:${port}/`))).toBe("EGRESS_FAILED");
    expect(await codeOf(egressFetch("http://127.0.0.1:1/"))).toBe("EGRESS_FAILED");
    expect(await codeOf(egressFetch("http://nowhere.test/"))).toBe("EGRESS_FAILED");
    const response = await egressFetch(`http://127.0.0.1:${port}/half`);
    expect(await codeOf(response.text())).toBe("EGRESS_FAILED");
  });

  it("ends with its caller, whose reason it passes on", async () => {
    const { port } = await serve(() => undefined);
    allow(["127.0.0.1"]);
    const abort = new AbortController();
    const call = egressFetch(`http://127.0.0.1:${port}`, { signal: abort.signal });
    abort.abort(new Error("the run was cancelled"));
    await expect(call).rejects.toThrow("the run was cancelled");
    await expect(egressFetch(`http://127.0.0.1:${port}`, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  it("serves libraries as their fetch, within limits", async () => {
    const { port } = await serve((_request, response) => response.end("x".repeat(100)));
    allow(["127.0.0.1"]);
    const fetchSmall = limitedFetch({ maxBytes: 50 });
    expect(await codeOf(fetchSmall(`http://127.0.0.1:${port}`))).toBe("EGRESS_TOO_LARGE");
    await expect(fetchSmall(new Request(`http://127.0.0.1:${port}`))).rejects.toThrow(TypeError);
    expect((await limitedFetch({})(new URL(`http://127.0.0.1:${port}`))).status).toBe(200);
  });

  it("has one policy a process", () => {
    allow(["127.0.0.1"]);
    expect(() => openEgress({ allowedHosts: [] })).toThrow("called twice");
  });
});
