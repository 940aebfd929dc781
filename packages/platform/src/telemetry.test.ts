import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { platformErrors } from "./errors.ts";
import {
  annotateSpan,
  callerAttributes,
  currentTraceId,
  currentTraceparent,
  runInSpan,
  startTelemetry,
} from "./telemetry.ts";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE_ID}-${PARENT_ID}-01`;
const PACKAGE = dirname(dirname(fileURLToPath(import.meta.url)));

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly kind: number;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly attributes: readonly { readonly key: string; readonly value: unknown }[];
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: unknown;
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

/** A collector: what it was sent, in order. */
interface Collector {
  readonly endpoint: string;
  readonly paths: string[];
  readonly bodies: string[];
  readonly spans: () => OtlpSpan[];
  readonly server: Server;
}

async function startCollector(): Promise<Collector> {
  const paths: string[] = [];
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      paths.push(request.url ?? "");
      bodies.push(Buffer.concat(chunks).toString());
      response.setHeader("content-type", "application/json").end("{}");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the collector has no port");
  const spans = (): OtlpSpan[] =>
    bodies
      .flatMap((body) => (JSON.parse(body) as OtlpRequest).resourceSpans)
      .flatMap(({ scopeSpans }) => scopeSpans)
      .flatMap((scope) => scope.spans);
  return { endpoint: `http://127.0.0.1:${address.port}/`, paths, bodies, spans, server };
}

function attribute(span: OtlpSpan | undefined, key: string): unknown {
  return span?.attributes.find((each) => each.key === key)?.value;
}

describe("without a collector", () => {
  let stop: () => Promise<void>;
  beforeEach(() => {
    stop = startTelemetry({ serviceName: "test" });
  });
  afterEach(() => stop());

  it("gives work a trace id all the same, one for everything within it", async () => {
    expect(currentTraceId()).toBeUndefined();
    const seen = await runInSpan("outer", {}, async () => {
      const outer = currentTraceId();
      await Promise.resolve();
      return { outer, inner: await runInSpan("inner", {}, currentTraceId) };
    });
    expect(seen.outer).toMatch(/^[0-9a-f]{32}$/);
    expect(seen.inner).toBe(seen.outer);
    expect(currentTraceId()).toBeUndefined();
  });

  it("goes on with the trace that a traceparent names", async () => {
    const inside = await runInSpan("job", { traceparent: TRACEPARENT }, currentTraceparent);
    expect(inside).toMatch(new RegExp(`^00-${TRACE_ID}-[0-9a-f]{16}-00$`));
    expect(inside).not.toContain(PARENT_ID);
  });

  it("begins a trace of its own when the traceparent is not valid", async () => {
    for (const traceparent of [
      "",
      "nonsense",
      `00-${"0".repeat(32)}-${PARENT_ID}-01`,
      `ff-${TRACE_ID}-${PARENT_ID}-01`,
    ]) {
      const id = await runInSpan("job", { traceparent }, currentTraceId);
      expect(id).toMatch(/^[0-9a-f]{32}$/);
      expect(id).not.toBe(TRACE_ID);
    }
  });

  it("keeps the traces of work that is interleaved apart", async () => {
    const ids = await Promise.all(
      Array.from({ length: 20 }, () =>
        runInSpan("work", {}, async () => {
          const before = currentTraceId();
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
          expect(currentTraceId()).toBe(before);
          return before;
        }),
      ),
    );
    expect(new Set(ids).size).toBe(20);
  });

  it("passes on what the work returns and what it throws", async () => {
    await expect(runInSpan("work", {}, () => 42)).resolves.toBe(42);
    await expect(
      runInSpan("work", {}, () => {
        throw platformErrors.NODE_NOT_FOUND();
      }),
    ).rejects.toMatchObject({ code: "NODE_NOT_FOUND" });
  });

  it("refuses to be started twice", () => {
    expect(() => startTelemetry({ serviceName: "test" })).toThrow("called twice");
  });
});

describe("with a collector", () => {
  let collector: Collector;
  beforeEach(async () => {
    collector = await startCollector();
  });
  afterEach(() => {
    collector.server.close();
  });

  it("sends what it recorded, under the service's name, before it stops", async () => {
    const stop = startTelemetry({ serviceName: "sba-test", otlpEndpoint: collector.endpoint });
    const caller = {
      tenantId: "t1",
      requestId: "r1",
      principalId: "p1",
      principalKind: "USER" as const,
      permissions: new Set<never>(),
    };
    await runInSpan(
      "job",
      { traceparent: TRACEPARENT, kind: "consumer", attributes: callerAttributes(caller, "run1") },
      () => {
        annotateSpan({ "sba.step_number": 3, "sba.nothing": undefined });
      },
    );
    await stop();
    const [span] = collector.spans();
    expect(collector.paths).toEqual(["/v1/traces"]);
    expect(collector.bodies[0]).toContain("sba-test");
    expect(span).toMatchObject({ name: "job", traceId: TRACE_ID, parentSpanId: PARENT_ID, kind: 5 });
    expect(attribute(span, "sba.tenant_id")).toEqual({ stringValue: "t1" });
    expect(attribute(span, "sba.request_id")).toEqual({ stringValue: "r1" });
    expect(attribute(span, "sba.run_id")).toEqual({ stringValue: "run1" });
    expect(attribute(span, "sba.step_number")).toEqual({ intValue: 3 });
    expect(attribute(span, "sba.nothing")).toBeUndefined();
  });

  it("marks a failed span by the error's code and keeps its message out", async () => {
    const stop = startTelemetry({ serviceName: "test", otlpEndpoint: collector.endpoint });
    await expect(
      runInSpan("ours", {}, () => {
        throw platformErrors.INTERNAL({ message: "the prompt was hush-hush" });
      }),
    ).rejects.toThrow();
    await expect(
      runInSpan("foreign", {}, () => {
        throw new TypeError("hush-hush");
      }),
    ).rejects.toThrow();
    await stop();
    const byName = new Map(collector.spans().map((span) => [span.name, span]));
    expect(byName.get("ours")?.status).toEqual({ code: 2 });
    expect(attribute(byName.get("ours"), "error.type")).toEqual({ stringValue: "INTERNAL" });
    expect(attribute(byName.get("foreign"), "error.type")).toEqual({ stringValue: "TypeError" });
    expect(collector.bodies.join()).not.toContain("hush-hush");
  });

  it("can be started again after it was stopped", async () => {
    for (const name of ["first", "second"]) {
      const stop = startTelemetry({ serviceName: name, otlpEndpoint: collector.endpoint });
      await runInSpan(name, {}, () => undefined);
      await stop();
    }
    expect(collector.spans().map(({ name }) => name)).toEqual(["first", "second"]);
  });

  it("stops in time when the collector never answers", async () => {
    collector.server.removeAllListeners("request");
    const asked = once(collector.server, "request");
    const stop = startTelemetry({ serviceName: "test", otlpEndpoint: collector.endpoint });
    await runInSpan("work", {}, () => undefined);
    const startedAt = performance.now();
    await stop();
    await asked;
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    collector.server.closeAllConnections();
  });

  it("stops without complaint when the collector is gone", async () => {
    collector.server.close();
    const stop = startTelemetry({ serviceName: "test", otlpEndpoint: collector.endpoint });
    await runInSpan("work", {}, () => undefined);
    await expect(stop()).resolves.toBeUndefined();
  });
});

/** A process in which nothing is loaded beforehand, as in production: plain ES modules on this Node. */
async function runProcess(script: string, endpoint: string): Promise<string> {
  const args = ["--input-type=module", "--eval", script, endpoint];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: PACKAGE });
  return stdout + stderr;
}

const SERVE_ONE_OPERATION = `
  const schema = new GraphQLSchema({
    query: new GraphQLObjectType({ name: "Query", fields: {
      answer: { type: GraphQLString, args: { prompt: { type: GraphQLString } }, resolve: async () => "42" },
      broken: { type: GraphQLString, resolve: () => { throw new Error("hush-hush in the resolver"); } },
    } }),
  });
  const stop = startTelemetry({ serviceName: "test", otlpEndpoint: process.argv[1] });
  await new Promise((resolve) => setImmediate(resolve));
  await runInSpan("request", { kind: "server" }, async () => {
    const document = parse('query Ask($p: String) { a: answer(prompt: "hush-hush literal") b: answer(prompt: $p) broken }');
    validate(schema, document);
    validate(schema, parse('{ answer(prompt: hush) }'));
    await execute({ schema, document, contextValue: {}, variableValues: { p: "hush-hush variable" } });
  });
  await stop();`;

describe("graphql, in a process of its own", () => {
  let collector: Collector;
  beforeEach(async () => {
    collector = await startCollector();
  });
  afterEach(() => {
    collector.server.close();
  });

  it("is traced from parse to resolver under the request, when telemetry is imported first", async () => {
    const output = await runProcess(
      `import { runInSpan, startTelemetry } from "@sba/platform/telemetry";
       import { execute, GraphQLObjectType, GraphQLSchema, GraphQLString, parse, validate } from "graphql";
       ${SERVE_ONE_OPERATION}`,
      collector.endpoint,
    );
    const spans = collector.spans();
    const names = spans.map(({ name }) => name);
    const request = spans.find(({ name }) => name === "request");
    const operation = spans.find(({ name }) => name === "query Ask");
    const resolver = spans.find(({ name }) => name === "graphql.resolve a");
    expect(output).toBe("");
    expect(names).toEqual(
      expect.arrayContaining([
        "graphql.parse",
        "graphql.validate",
        "query Ask",
        "graphql.resolve a",
        "graphql.resolve b",
      ]),
    );
    expect(operation?.parentSpanId).toBe(request?.spanId);
    expect(resolver?.parentSpanId).toBe(operation?.spanId);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(spans.find(({ name }) => name === "graphql.resolve broken")?.status).toEqual({ code: 2 });
  });

  it("tells a collector nothing of what was asked: no literals, no variables, no messages", async () => {
    await runProcess(
      `import { runInSpan, startTelemetry } from "@sba/platform/telemetry";
       import { execute, GraphQLObjectType, GraphQLSchema, GraphQLString, parse, validate } from "graphql";
       ${SERVE_ONE_OPERATION}`,
      collector.endpoint,
    );
    expect(collector.bodies.join()).toContain("graphql.resolve a");
    expect(collector.bodies.join()).not.toContain("hush-hush");
  });

  it("is said to be untraced, not silently so, when graphql was loaded first", async () => {
    const output = await runProcess(
      `import { execute, GraphQLObjectType, GraphQLSchema, GraphQLString, parse, validate } from "graphql";
       import { runInSpan, startTelemetry } from "@sba/platform/telemetry";
       ${SERVE_ONE_OPERATION}`,
      collector.endpoint,
    );
    expect(output).toContain("graphql is not traced");
    expect(collector.spans().map(({ name }) => name)).toEqual(["request"]);
  });
});
