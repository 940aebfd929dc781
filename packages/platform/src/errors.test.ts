import { describe, expect, it } from "vitest";
import {
  AppError,
  defineErrors,
  ensureAppError,
  errorExtensions,
  graphqlCodeOf,
  httpStatusOf,
  listErrorTables,
  platformErrors,
  type ErrorKind,
} from "./errors.ts";

const tests = defineErrors("errors.test", {
  TEST_THING_MISSING: { kind: "not_found", message: "There is no such thing." },
  TEST_THING_BUSY: { kind: "unavailable", message: "The thing is busy." },
});

describe("a declared error", () => {
  it("is thrown with its code, kind, message and default for retries", () => {
    const error = tests.TEST_THING_MISSING();
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({
      name: "AppError",
      code: "TEST_THING_MISSING",
      kind: "not_found",
      message: "There is no such thing.",
      details: {},
      retryable: false,
      retryAfterMs: undefined,
    });
    expect(tests.TEST_THING_BUSY().retryable).toBe(true);
    expect(error.cause).toBeUndefined();
  });

  it("takes another message, details and the cause", () => {
    const cause = new Error("deep");
    const error = tests.TEST_THING_MISSING({ message: "Thing 7 is gone.", details: { thing: 7 }, cause });
    expect(error).toMatchObject({ message: "Thing 7 is gone.", details: { thing: 7 }, cause });
  });

  it("can be retried when it says after what time, or says so, whatever its kind", () => {
    expect(tests.TEST_THING_MISSING({ retryAfterMs: 100 }).retryable).toBe(true);
    expect(tests.TEST_THING_MISSING({ retryable: true }).retryable).toBe(true);
    expect(tests.TEST_THING_BUSY({ retryable: false }).retryable).toBe(false);
    expect(tests.TEST_THING_BUSY({ retryable: false, retryAfterMs: 100 }).retryable).toBe(false);
  });

  it("is listed under its domain, for the documents", () => {
    expect(listErrorTables().get("errors.test")).toHaveProperty("TEST_THING_BUSY.kind", "unavailable");
    expect(listErrorTables().get("platform")).toHaveProperty("INTERNAL.kind", "internal");
  });
});

describe("a kind", () => {
  // The contract's table; a change here is a change for every client.
  const contract: readonly (readonly [ErrorKind, string, number])[] = [
    ["invalid_input", "BAD_USER_INPUT", 400],
    ["unauthenticated", "UNAUTHENTICATED", 401],
    ["permission_denied", "FORBIDDEN", 403],
    ["not_found", "NOT_FOUND", 404],
    ["conflict", "CONFLICT", 409],
    ["payload_too_large", "PAYLOAD_TOO_LARGE", 413],
    ["quota_exceeded", "QUOTA_EXCEEDED", 402],
    ["rate_limited", "RATE_LIMITED", 429],
    ["upstream_failed", "UPSTREAM_FAILED", 502],
    ["unavailable", "UNAVAILABLE", 503],
    ["cancelled", "CANCELLED", 499],
    ["internal", "INTERNAL_SERVER_ERROR", 500],
  ];
  it.each(contract)("%s is %s in GraphQL and %i over HTTP", (kind, code, status) => {
    expect(graphqlCodeOf(kind)).toBe(code);
    expect(httpStatusOf(kind)).toBe(status);
  });
});

describe("anything thrown becomes an error of ours", () => {
  it("as it is when it is one", () => {
    const error = tests.TEST_THING_MISSING();
    expect(ensureAppError(error)).toBe(error);
  });

  it("a cancellation when it is an abort", () => {
    expect(ensureAppError(AbortSignal.abort().reason)).toMatchObject({ code: "OPERATION_CANCELLED" });
  });

  it("a time-out when it is one of the platform's", async () => {
    const signal = AbortSignal.timeout(1);
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve);
    });
    expect(ensureAppError(signal.reason)).toMatchObject({ code: "OPERATION_TIMED_OUT" });
  });

  it("a masked internal error otherwise, with the original kept for the log only", () => {
    for (const thrown of [new TypeError("secret detail"), "secret detail", undefined, { secret: "detail" }]) {
      const error = ensureAppError(thrown);
      expect(error).toMatchObject({ code: "INTERNAL", kind: "internal" });
      expect(error.cause).toBe(thrown);
      expect(JSON.stringify([error.message, errorExtensions(error)])).not.toContain("secret");
    }
  });
});

describe("what a client sees of an error", () => {
  it("is code, reason and whether to retry, and what else there is to say", () => {
    expect(errorExtensions(platformErrors.NODE_NOT_FOUND())).toEqual({
      code: "NOT_FOUND",
      reason: "NODE_NOT_FOUND",
      retryable: false,
    });
    expect(errorExtensions(tests.TEST_THING_BUSY({ retryAfterMs: 500, details: { thing: 7 } }), "req-1")).toEqual({
      code: "UNAVAILABLE",
      reason: "TEST_THING_BUSY",
      retryable: true,
      retryAfterMs: 500,
      requestId: "req-1",
      details: { thing: 7 },
    });
  });
});
