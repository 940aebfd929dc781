import type { GraphQLFormattedError } from "graphql";

/** What the API says of a failure, or what the network did. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The kind: `NOT_FOUND`, `FORBIDDEN`, `CONFLICT`... of the first error. */
  readonly code: string;
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

  constructor(
    errors: readonly GraphQLFormattedError[],
    options: { readonly data?: unknown; readonly cause?: unknown } = {},
  ) {
    super(
      errors.map(({ message }) => message).join("; ") || "The request failed.",
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    const extensions = errors[0]?.extensions ?? {};
    this.errors = errors;
    this.data = options.data;
    this.code = textOf(extensions["code"]) ?? "INTERNAL_SERVER_ERROR";
    this.reason = textOf(extensions["reason"]) ?? this.code;
    this.retryable = extensions["retryable"] === true;
    this.retryAfterMs = typeof extensions["retryAfterMs"] === "number" ? extensions["retryAfterMs"] : undefined;
    this.requestId = textOf(extensions["requestId"]);
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** An error that did not come from the API: it cannot be reached, or does not speak as it should. */
export function networkError(
  message: string,
  options: { readonly cause?: unknown; readonly code?: string; readonly retryAfterMs?: number } = {},
): ApiError {
  const { code = "UNAVAILABLE", retryAfterMs, cause } = options;
  const reason = code === "UNAVAILABLE" ? "NETWORK_FAILED" : code;
  const extensions = {
    code,
    reason,
    retryable: code !== "UNAUTHENTICATED",
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
  return new ApiError([{ message, extensions }], { cause });
}

export function isFormattedErrors(value: unknown): value is readonly GraphQLFormattedError[] {
  return (
    Array.isArray(value) &&
    value.every((each: unknown) => typeof each === "object" && each !== null && "message" in each)
  );
}
