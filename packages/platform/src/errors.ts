/**
 * The one throwable of the house. A kind is closed and mapped once to each outside:
 * GraphQL code, HTTP status, WebSocket close and whether a job that met it may be tried again.
 */

/** What each kind means outside. `retry` is the default for jobs and clients; an error may say otherwise. */
const KINDS = {
  invalid_input: { code: "BAD_USER_INPUT", httpStatus: 400, retry: false },
  unauthenticated: { code: "UNAUTHENTICATED", httpStatus: 401, retry: false },
  permission_denied: { code: "FORBIDDEN", httpStatus: 403, retry: false },
  not_found: { code: "NOT_FOUND", httpStatus: 404, retry: false },
  conflict: { code: "CONFLICT", httpStatus: 409, retry: false },
  payload_too_large: { code: "PAYLOAD_TOO_LARGE", httpStatus: 413, retry: false },
  quota_exceeded: { code: "QUOTA_EXCEEDED", httpStatus: 402, retry: false },
  rate_limited: { code: "RATE_LIMITED", httpStatus: 429, retry: true },
  upstream_failed: { code: "UPSTREAM_FAILED", httpStatus: 502, retry: true },
  unavailable: { code: "UNAVAILABLE", httpStatus: 503, retry: true },
  cancelled: { code: "CANCELLED", httpStatus: 499, retry: false },
  internal: { code: "INTERNAL_SERVER_ERROR", httpStatus: 500, retry: true },
} as const;

export type ErrorKind = keyof typeof KINDS;

/** Facts about one failure that a client may see: ids, limits, states. Never a secret, a prompt or a token. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

export interface AppErrorOptions {
  readonly message?: string;
  readonly details?: ErrorDetails;
  /** Milliseconds until a repeat can succeed; sets `retryable`. */
  readonly retryAfterMs?: number;
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

export class AppError extends Error {
  override readonly name = "AppError";
  /** The precise reason, `DOMAIN_NOUN_CONDITION`. */
  readonly code: string;
  readonly kind: ErrorKind;
  readonly details: ErrorDetails;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, kind: ErrorKind, message: string, options: AppErrorOptions = {}) {
    super(options.message ?? message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.kind = kind;
    this.details = options.details ?? {};
    this.retryAfterMs = options.retryAfterMs;
    this.retryable = options.retryable ?? (options.retryAfterMs !== undefined || KINDS[kind].retry);
  }
}

export type ErrorTable = Readonly<Record<string, { readonly kind: ErrorKind; readonly message: string }>>;
export type ErrorFactories<T extends ErrorTable> = { readonly [K in keyof T]: (options?: AppErrorOptions) => AppError };

const tables = new Map<string, ErrorTable>();

/**
 * Declares the errors of one domain: `errors.AGENT_RUN_NOT_FOUND({ details })` makes one to throw.
 * Every table is also a chapter of `docs/errors.md`, which CI compares.
 */
export function defineErrors<const T extends ErrorTable>(domain: string, table: T): ErrorFactories<T> {
  tables.set(domain, table);
  const factories = Object.entries(table).map(([code, { kind, message }]) => [
    code,
    (options?: AppErrorOptions) => new AppError(code, kind, message, options),
  ]);
  return Object.fromEntries(factories) as ErrorFactories<T>;
}

/** Every error table declared so far, by domain: the source of `docs/errors.md`. */
export function listErrorTables(): ReadonlyMap<string, ErrorTable> {
  return tables;
}

/** The errors that belong to no domain. */
export const platformErrors = defineErrors("platform", {
  INPUT_INVALID: { kind: "invalid_input", message: "The input is not valid." },
  ID_INVALID: { kind: "invalid_input", message: "The id is not of the expected form." },
  CURSOR_INVALID: { kind: "invalid_input", message: "The cursor does not belong to this list or stream." },
  EVENT_CONSUMERS_TOO_MANY: {
    kind: "conflict",
    message:
      "So many cursors are kept for you that none can be added: those that nobody uses are forgotten after a while.",
  },
  CREDENTIALS_MISSING: { kind: "unauthenticated", message: "Sign in, or send an API key." },
  CREDENTIALS_INVALID: { kind: "unauthenticated", message: "The credentials are not valid." },
  CREDENTIALS_EXPIRED: { kind: "unauthenticated", message: "The credentials have expired." },
  PERMISSION_MISSING: { kind: "permission_denied", message: "A permission is missing." },
  TENANT_SUSPENDED: {
    kind: "permission_denied",
    message: "The tenant is suspended: nothing is begun in it until it is resumed.",
  },
  NODE_NOT_FOUND: { kind: "not_found", message: "There is no such object." },
  ROUTE_NOT_FOUND: { kind: "not_found", message: "There is nothing under this path." },
  IDEMPOTENCY_KEY_REUSED: { kind: "conflict", message: "This idempotency key was used with another input." },
  EGRESS_REFUSED: { kind: "permission_denied", message: "This address may not be called." },
  EGRESS_TOO_LARGE: { kind: "upstream_failed", message: "The answer of the called address is too large." },
  EGRESS_TIMED_OUT: { kind: "upstream_failed", message: "The called address did not answer in time." },
  EGRESS_FAILED: { kind: "upstream_failed", message: "The called address did not answer as it should." },
  PAYLOAD_TOO_LARGE: { kind: "payload_too_large", message: "The payload is too large." },
  RATE_LIMITED: { kind: "rate_limited", message: "Too many requests: ask again later." },
  SUBGRAPH_TIMED_OUT: { kind: "unavailable", message: "A part of the system did not answer in time." },
  SUBGRAPH_UNAVAILABLE: { kind: "unavailable", message: "A part of the system is not answering." },
  DATABASE_UNAVAILABLE: { kind: "unavailable", message: "The database is not answering." },
  OPERATION_CANCELLED: { kind: "cancelled", message: "The operation was cancelled." },
  OPERATION_TIMED_OUT: { kind: "unavailable", message: "The operation took too long." },
  INTERNAL: { kind: "internal", message: "Something went wrong on our side." },
});

/** Makes an AppError of anything thrown; what is not ours becomes a masked INTERNAL with the original as `cause`. */
export function ensureAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") {
    return platformErrors.OPERATION_CANCELLED({ cause: thrown });
  }
  if (thrown instanceof Error && thrown.name === "TimeoutError") {
    return platformErrors.OPERATION_TIMED_OUT({ cause: thrown });
  }
  if (isReadWithoutDatabase(thrown)) return platformErrors.DATABASE_UNAVAILABLE({ cause: thrown });
  return platformErrors.INTERNAL({ cause: thrown });
}

/** What `reader.ts` throws while the database is away: Prisma wraps the error and keeps its code. */
function isReadWithoutDatabase(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "DATABASE_UNAVAILABLE";
}

/** The GraphQL `extensions.code` of a kind. */
export function graphqlCodeOf(kind: ErrorKind): string {
  return KINDS[kind].code;
}

/** The HTTP status of a kind. */
export function httpStatusOf(kind: ErrorKind): number {
  return KINDS[kind].httpStatus;
}

/** The HTTP status of a GraphQL `extensions.code`: that of its kind, or of a request that cannot be understood. */
export function httpStatusOfCode(code: string): number {
  return Object.values(KINDS).find((kind) => kind.code === code)?.httpStatus ?? 400;
}

/** What a client sees of an error, wherever it sees it. */
export interface ErrorExtensions {
  readonly code: string;
  readonly reason: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly requestId?: string;
  readonly details?: ErrorDetails;
}

export function errorExtensions(error: AppError, requestId?: string): ErrorExtensions {
  return {
    code: graphqlCodeOf(error.kind),
    reason: error.code,
    retryable: error.retryable,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(Object.keys(error.details).length === 0 ? {} : { details: error.details }),
  };
}
