import { describe, expect, it } from "vitest";
import { platformErrors } from "./errors.ts";
import { createLogger, logger, loggerOf, setLogLevel, type Logger } from "./log.ts";
import { redact, redactText } from "./redact.ts";
import { currentTraceId, runInSpan, startTelemetry } from "./telemetry.ts";

interface Line {
  readonly [name: string]: unknown;
}

/** A logger, and the lines that it wrote. */
function recordedLogger(): { log: Logger; lines: () => Line[]; text: () => string } {
  const written: string[] = [];
  const log = createLogger({ write: (line) => void written.push(line) });
  return { log, lines: () => written.map((line) => JSON.parse(line) as Line), text: () => written.join("") };
}

const SECRET = "hush-hush";

describe("a log line", () => {
  it("is JSON with severity, time, constant message and dotted attributes", () => {
    const { log, lines } = recordedLogger();
    log.info({ "http.status": 200, durationMs: 12n }, "request served");
    expect(lines()).toEqual([
      {
        severity: "info",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as unknown,
        pid: process.pid,
        "http.status": 200,
        durationMs: "12",
        msg: "request served",
      },
    ]);
  });

  it("of a child says whose work it is", () => {
    const { log, lines } = recordedLogger();
    log.child({ requestId: "r1", tenantId: "t1" }).child({ runId: "run1" }).warn("step repeated");
    expect(lines()[0]).toMatchObject({ requestId: "r1", tenantId: "t1", runId: "run1", severity: "warn" });
  });

  it("of a caller's logger carries request, tenant and run", () => {
    const caller = {
      tenantId: "t1",
      requestId: "r1",
      principalId: "p1",
      principalKind: "USER" as const,
      permissions: new Set<never>(),
    };
    expect(loggerOf(caller, "run1").bindings()).toMatchObject({ tenantId: "t1", requestId: "r1", runId: "run1" });
    expect(loggerOf(caller).bindings()).not.toHaveProperty("runId");
  });

  it("carries the trace id of the work that wrote it", async () => {
    const { log, lines } = recordedLogger();
    const stop = startTelemetry({ serviceName: "test" });
    const traceId = await runInSpan("work", {}, () => {
      log.info("inside");
      return currentTraceId();
    });
    await stop();
    log.info("outside");
    expect(lines()[0]).toMatchObject({ traceId });
    expect(lines()[1]).not.toHaveProperty("traceId");
  });

  it("is written from the level on that is set", () => {
    const before = logger.level;
    setLogLevel("error");
    expect(logger.isLevelEnabled("warn")).toBe(false);
    expect(logger.isLevelEnabled("error")).toBe(true);
    setLogLevel(before);
  });
});

describe("a log line never shows", () => {
  const hidden: readonly (readonly [string, object])[] = [
    ["a password", { password: SECRET }],
    ["a token, however deep", { a: { b: [{ c: { accessToken: SECRET } }] } }],
    [
      "a header, however spelt",
      { headers: { Authorization: `Bearer ${SECRET}`, "X-API-Key": SECRET, Cookie: SECRET } },
    ],
    ["an attribute with a dotted name", { "http.request.header.authorization": SECRET }],
    ["a prompt", { prompt: SECRET }],
    ["messages of a thread", { messages: [{ role: "user", content: SECRET }] }],
    ["variables of an operation", { variables: { anything: SECRET } }],
    ["what a tool was given and gave back", { params: { to: SECRET }, result: [SECRET] }],
    ["bytes", { file: Buffer.from(SECRET) }],
  ];
  it.each(hidden)("%s", (_what, fields) => {
    const { log, text } = recordedLogger();
    log.error(fields, "failed");
    log.child(fields).error("failed");
    expect(text()).toContain("failed");
    expect(text()).not.toContain(SECRET);
    expect(text()).not.toContain(Buffer.from(SECRET).join());
  });

  const credentials: readonly (readonly [string, string, string])[] = [
    ["a bearer token in a text", `calling with Bearer ${SECRET}-abcdef failed`, "calling with [redacted] failed"],
    [
      "a JSON Web Token in a text",
      "token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln was refused",
      "token [redacted] was refused",
    ],
    ["an API key of ours in a text", "key sba_0123456789abcdef is unknown", "key [redacted] is unknown"],
    [
      "an API key of a provider in a text",
      "Incorrect API key provided: sk-proj-0123456789abcdef.",
      "Incorrect API key provided: [redacted].",
    ],
    [
      "the password of a URL in a text",
      "cannot reach postgres://app:s3cret@db:5432/sba",
      "cannot reach postgres://app:[redacted]@db:5432/sba",
    ],
  ];
  it.each(credentials)("%s", (_what, text, shown) => {
    expect(redactText(text)).toBe(shown);
    const { log, lines } = recordedLogger();
    log.warn({ reason: text }, "refused");
    log.warn({ err: new Error(text) }, "refused");
    expect(lines()[0]?.["reason"]).toBe(shown);
    expect(lines()[1]?.["err"]).toMatchObject({ message: shown });
  });

  it("what a library hung on its error: request, headers, body, detail", () => {
    const { log, text, lines } = recordedLogger();
    const cause = Object.assign(new Error("duplicate key"), {
      code: "23505",
      detail: `Key (email)=(${SECRET}) exists.`,
    });
    const err = Object.assign(new Error("call failed", { cause }), {
      requestBodyValues: { prompt: SECRET },
      config: { auth: SECRET },
    });
    log.error({ err }, "call failed");
    expect(text()).not.toContain(SECRET);
    expect(lines()[0]?.["err"]).toMatchObject({
      type: "Error",
      message: "call failed",
      cause: { code: "23505", message: "duplicate key" },
    });
  });
});

describe("redaction keeps", () => {
  it("an error's code, stack and causes", () => {
    const error = platformErrors.INTERNAL({ cause: new TypeError("x is not a function") });
    expect(redact(error)).toMatchObject({
      type: "AppError",
      code: "INTERNAL",
      stack: expect.stringContaining("log.test.ts") as unknown,
      cause: { type: "TypeError", message: "x is not a function" },
    });
  });

  it("numbers, flags and absences under a hidden name", () => {
    expect(redact({ token: 17, text: null, output: true, prompt: undefined })).toEqual({
      token: 17,
      text: null,
      output: true,
      prompt: undefined,
    });
  });

  it("ordinary text, dates and ids", () => {
    const fields = {
      "job.name": "agent.run.advance",
      at: new Date(0),
      id: "run_01hzy",
      path: "/graphql",
      url: "http://127.0.0.1:4000/x",
    };
    expect(redact(fields)).toEqual(fields);
  });

  it("its head: cycles, depth and length end", () => {
    const cycle: Record<string, unknown> = { name: "a" };
    cycle["self"] = cycle;
    expect(redact(cycle)).toEqual({ name: "a", self: "[truncated]" });
    expect(JSON.stringify(redact({ a: { b: { c: { d: { e: { f: { g: 1 } } } } } } }))).toContain("[truncated]");
    expect(redact(Array.from({ length: 60 }, () => 1))).toHaveLength(51);
    const shared = { x: 1 };
    expect(redact([shared, shared])).toEqual([{ x: 1 }, { x: 1 }]);
    const looping = new Error("a");
    looping.cause = looping;
    expect(JSON.stringify(redact(looping)).length).toBeLessThan(20_000);
  });
});
