import {
  ConflictError,
  ForbiddenError,
  NotFoundError,
  toApiError,
  UnauthenticatedError,
  UnavailableError,
} from "@sba/client";

/** How a command ended, for scripts. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  /** No credentials, or none that are good. */
  credentials: 3,
  /** Not there, or not allowed. */
  refused: 4,
  /** It is no longer as it was: look again. */
  conflict: 5,
  /** The API cannot be reached, or is busy: try again. */
  unavailable: 6,
  /** The run waits for somebody. */
  waiting: 8,
  interrupted: 130,
} as const;

/** A failure that the person at the terminal can do something about. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: number;
  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** What to say of whatever was thrown, and how to end. */
export function explain(thrown: unknown): { readonly message: string; readonly exitCode: number } {
  if (thrown instanceof CommandError) return thrown;
  if (thrown instanceof TypeError || thrown instanceof RangeError)
    return { message: thrown.stack ?? thrown.message, exitCode: EXIT.failed };
  const error = toApiError(thrown);
  const where = error.requestId === undefined ? "" : ` [request ${error.requestId}]`;
  const advice =
    error.advice.action === "sign-in"
      ? " Sign in with `sba login`, or give a token with --token or SBA_TOKEN."
      : error.advice.action === "reload"
        ? " Look again, and decide by what is there now."
        : "";
  return { message: `${error.message} (${error.reason})${where}${advice}`, exitCode: exitCodeOf(error) };
}

function exitCodeOf(error: Error): number {
  if (error instanceof UnauthenticatedError) return EXIT.credentials;
  if (error instanceof ForbiddenError || error instanceof NotFoundError) return EXIT.refused;
  if (error instanceof ConflictError) return EXIT.conflict;
  return error instanceof UnavailableError ? EXIT.unavailable : EXIT.failed;
}
