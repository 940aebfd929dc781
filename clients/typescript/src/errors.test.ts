import { CombinedGraphQLErrors } from "@apollo/client";
import { CombinedError } from "@urql/core";
import { GraphQLError } from "graphql";
import { describe, expect, test } from "vitest";
import {
  ApiError,
  apiErrorOf,
  BadInputError,
  ConflictError,
  ForbiddenError,
  NetworkError,
  NotFoundError,
  QuotaExceededError,
  RateLimitedError,
  toApiError,
  UnauthenticatedError,
  UnavailableError,
  type RetryAdvice,
} from "./errors.ts";

/** Every way in which a request can fail, as what a program decides by. */

const said = (code: string, more: object = {}) => [{ message: "No.", extensions: { code, ...more } }];

describe("an error of the API", () => {
  test.each<[string, typeof ApiError, RetryAdvice["action"]]>([
    ["BAD_USER_INPUT", BadInputError, "change"],
    ["GRAPHQL_VALIDATION_FAILED", BadInputError, "change"],
    ["PAYLOAD_TOO_LARGE", BadInputError, "change"],
    ["UNAUTHENTICATED", UnauthenticatedError, "sign-in"],
    ["FORBIDDEN", ForbiddenError, "give-up"],
    ["NOT_FOUND", NotFoundError, "give-up"],
    ["CONFLICT", ConflictError, "reload"],
    ["QUOTA_EXCEEDED", QuotaExceededError, "give-up"],
    ["RATE_LIMITED", RateLimitedError, "give-up"],
    ["UNAVAILABLE", UnavailableError, "give-up"],
    ["SOMETHING_NEW", ApiError, "give-up"],
  ])("of kind %s has a class and an advice", (code, expected, action) => {
    const error = apiErrorOf(said(code));
    expect(error.constructor).toBe(expected);
    expect(error.advice).toEqual({ action });
    expect(error.name).toBe(expected === ApiError ? "ApiError" : expected.name);
  });

  test("that may pass says so, and when", () => {
    const error = apiErrorOf(said("RATE_LIMITED", { retryable: true, retryAfterMs: 700, requestId: "r-1" }));
    expect(error.advice).toEqual({ action: "retry", afterMs: 700 });
    expect(error.requestId).toBe("r-1");
  });
});

describe("whatever was thrown", () => {
  const errors = said("CONFLICT", { reason: "AGENT_APPROVAL_ALREADY_DECIDED" });
  test.each([
    ["by Apollo Client", new CombinedGraphQLErrors({ data: { run: null }, errors })],
    ["by urql", new CombinedError({ graphQLErrors: errors.map((error) => new GraphQLError(error.message, error)) })],
    ["by graphql-ws for an error message", errors],
  ])("%s becomes the same typed error", (_what, thrown) => {
    const error = toApiError(thrown);
    expect(error).toBeInstanceOf(ConflictError);
    expect(error.reason).toBe("AGENT_APPROVAL_ALREADY_DECIDED");
  });

  test.each([
    [{ code: 1006, reason: "" }, NetworkError, { action: "retry", afterMs: undefined }],
    [{ code: 1012, reason: "Restarting" }, NetworkError, { action: "retry", afterMs: undefined }],
    [{ code: 4408, reason: "" }, NetworkError, { action: "retry", afterMs: undefined }],
    [{ code: 4499, reason: "Terminated" }, NetworkError, { action: "retry", afterMs: undefined }],
    [{ code: 1013, reason: "RATE_LIMITED retryAfterMs=250" }, RateLimitedError, { action: "retry", afterMs: 250 }],
    [{ code: 4401, reason: "Expired" }, UnauthenticatedError, { action: "sign-in" }],
    [{ code: 4400, reason: "" }, ApiError, { action: "give-up" }],
    [new TypeError("fetch failed"), NetworkError, { action: "retry", afterMs: undefined }],
    [
      new CombinedError({ networkError: new TypeError("fetch failed") }),
      NetworkError,
      { action: "retry", afterMs: undefined },
    ],
  ])("a close or a failure of the network is one with an advice: %o", (thrown, expected, advice) => {
    const error = toApiError(thrown);
    expect(error.constructor).toBe(expected);
    expect(error.advice).toEqual(advice);
  });

  test("a typed error stays what it is", () => {
    const error = apiErrorOf(said("FORBIDDEN"));
    expect(toApiError(error)).toBe(error);
  });
});
