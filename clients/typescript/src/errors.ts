import type { GraphQLFormattedError } from "graphql";

/** What went wrong, as errors of a class each, and what to do about it. */

/** The kinds of failure; a newer API may say others. */
export type ErrorCode =
  | "BAD_USER_INPUT"
  | "UNAUTHENTICATED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "CONFLICT"
  | "PAYLOAD_TOO_LARGE"
  | "QUOTA_EXCEEDED"
  | "RATE_LIMITED"
  | "UPSTREAM_FAILED"
  | "UNAVAILABLE"
  | "CANCELLED"
  | "INTERNAL_SERVER_ERROR"
  | "GRAPHQL_PARSE_FAILED"
  | "GRAPHQL_VALIDATION_FAILED"
  // No member of the list, and still completed by editors.
  | (string & {});

/**
 * - `retry`: send the same again, after `afterMs` when that is known.
 * - `sign-in`: get new credentials, then send the same again.
 * - `reload`: read the object anew, and decide again.
 * - `change`: send something else.
 * - `give-up`: nothing that a client does will help.
 */
export type RetryAdvice =
  | { readonly action: "retry"; readonly afterMs: number | undefined }
  | { readonly action: "sign-in" | "reload" | "change" | "give-up" };

interface ErrorOptions {
  /** What there is of the result, when only a part of it failed. */
  readonly data?: unknown;
  readonly cause?: unknown;
}

/** What the API says of a failure, or what the network did. */
export class ApiError extends Error {
  override readonly name: string = "ApiError";
  /** The kind: `NOT_FOUND`, `FORBIDDEN`, `CONFLICT`... of the first error. */
  readonly code: ErrorCode;
  /** The precise reason: `AGENT_APPROVAL_ALREADY_DECIDED`. */
  readonly reason: string;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  /** For whoever runs the system: under this id it is logged. */
  readonly requestId: string | undefined;
  /** All errors, as they came. */
  readonly errors: readonly GraphQLFormattedError[];
  /** What there is of the result, when only a part of it failed. */
  readonly data: unknown;

  constructor(errors: readonly GraphQLFormattedError[], { data, cause }: ErrorOptions = {}) {
    super(
      errors.map(({ message }) => message).join("; ") || "The request failed.",
      cause === undefined ? undefined : { cause },
    );
    const extensions = errors[0]?.extensions ?? {};
    this.errors = errors;
    this.data = data;
    this.code = codeOf(errors);
    this.reason = textOf(extensions["reason"]) ?? this.code;
    this.retryable = extensions["retryable"] === true;
    this.retryAfterMs = typeof extensions["retryAfterMs"] === "number" ? extensions["retryAfterMs"] : undefined;
    this.requestId = textOf(extensions["requestId"]);
  }

  /** What to do about it. */
  get advice(): RetryAdvice {
    if (this.retryable) return { action: "retry", afterMs: this.retryAfterMs };
    return { action: this.unretryable() };
  }

  protected unretryable(): Exclude<RetryAdvice["action"], "retry"> {
    return "give-up";
  }
}

/** Something in the request is wrong; `details` of its errors say what. */
export class BadInputError extends ApiError {
  override readonly name = "BadInputError";
  protected override unretryable() {
    return "change" as const;
  }
}
/** Credentials are missing, not good, or have ended. */
export class UnauthenticatedError extends ApiError {
  override readonly name = "UnauthenticatedError";
  protected override unretryable() {
    return "sign-in" as const;
  }
}
/** A permission is missing. */
export class ForbiddenError extends ApiError {
  override readonly name = "ForbiddenError";
}
/** It is not there, or another tenant's. */
export class NotFoundError extends ApiError {
  override readonly name = "NotFoundError";
}
/** It is no longer as the caller believed. */
export class ConflictError extends ApiError {
  override readonly name = "ConflictError";
  protected override unretryable() {
    return "reload" as const;
  }
}
/** A budget or a quota is used up. */
export class QuotaExceededError extends ApiError {
  override readonly name = "QuotaExceededError";
}
/** Too much was asked in too short a time. */
export class RateLimitedError extends ApiError {
  override readonly name = "RateLimitedError";
}
/** A part of the system, or something that it relies on, did not answer. */
export class UnavailableError extends ApiError {
  override readonly name: string = "UnavailableError";
}
/** The API could not be reached, or did not speak as it should: nobody knows whether it got the request. */
export class NetworkError extends UnavailableError {
  override readonly name = "NetworkError";
}

const CLASSES: Readonly<Record<string, typeof ApiError>> = {
  BAD_USER_INPUT: BadInputError,
  GRAPHQL_PARSE_FAILED: BadInputError,
  GRAPHQL_VALIDATION_FAILED: BadInputError,
  PAYLOAD_TOO_LARGE: BadInputError,
  UNAUTHENTICATED: UnauthenticatedError,
  FORBIDDEN: ForbiddenError,
  NOT_FOUND: NotFoundError,
  CONFLICT: ConflictError,
  QUOTA_EXCEEDED: QuotaExceededError,
  RATE_LIMITED: RateLimitedError,
  UPSTREAM_FAILED: UnavailableError,
  UNAVAILABLE: UnavailableError,
};

const NETWORK_FAILED = "NETWORK_FAILED";

/** The error of the class that the first error's code names. */
export function apiErrorOf(errors: readonly GraphQLFormattedError[], options?: ErrorOptions): ApiError {
  const isNetwork = errors[0]?.extensions?.["reason"] === NETWORK_FAILED;
  const Class = isNetwork ? NetworkError : (CLASSES[codeOf(errors)] ?? ApiError);
  return new Class(errors, options);
}

/** An error that did not come from the API: it cannot be reached, or does not speak as it should. */
export function networkError(
  message: string,
  options: { readonly cause?: unknown; readonly code?: string; readonly retryAfterMs?: number } = {},
): ApiError {
  const { code = "UNAVAILABLE", retryAfterMs, cause } = options;
  const extensions = {
    code,
    reason: code === "UNAVAILABLE" ? NETWORK_FAILED : code,
    retryable: code === "UNAVAILABLE" || code === "RATE_LIMITED",
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
  return apiErrorOf([{ message, extensions }], { cause });
}

/**
 * Any failure as a typed error: of this client, of Apollo Client (`CombinedGraphQLErrors`), of urql (`CombinedError`), and
 * of graphql-ws, which throws an array for an `error` message, a close event for a closed socket, and an Error for one
 * that never opened.
 */
export function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (isFormattedErrors(thrown)) return apiErrorOf(thrown);
  const record = recordOf(thrown) ?? {};
  for (const errors of [record["errors"], record["graphQLErrors"]])
    if (isFormattedErrors(errors) && errors.length > 0)
      return apiErrorOf(errors, { data: record["data"], cause: thrown });
  if (record["networkError"] !== undefined) return toApiError(record["networkError"]);
  if (record["cause"] instanceof ApiError) return record["cause"];
  if (typeof record["code"] === "number") return closedError(record["code"], textOf(record["reason"]) ?? "", thrown);
  return networkError("The connection was lost.", { cause: thrown });
}

/** No connection_init in time, and what graphql-ws says of a socket that we gave up. */
const AGAIN = [4408, 4499];

function closedError(code: number, reason: string, cause: unknown): ApiError {
  const message = `The socket was closed with ${code} ${reason}`.trim();
  if (code === 4401)
    return networkError(reason || "The credentials are not valid.", { code: "UNAUTHENTICATED", cause });
  if (code >= 4400 && code < 4500 && !AGAIN.includes(code))
    return networkError(message, { code: "BAD_REQUEST", cause });
  const retryAfterMs = Number(/retryAfterMs=(\d+)/.exec(reason)?.[1] ?? Number.NaN);
  return networkError(message, {
    cause,
    ...(reason.startsWith("RATE_LIMITED") ? { code: "RATE_LIMITED" } : {}),
    ...(Number.isNaN(retryAfterMs) ? {} : { retryAfterMs }),
  });
}

export function isFormattedErrors(value: unknown): value is readonly GraphQLFormattedError[] {
  return (
    Array.isArray(value) &&
    value.every((each: unknown) => typeof each === "object" && each !== null && "message" in each)
  );
}

export function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
}

function codeOf(errors: readonly GraphQLFormattedError[]): string {
  return textOf(errors[0]?.extensions?.["code"]) ?? "INTERNAL_SERVER_ERROR";
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
