import { setTimeout as delay } from "node:timers/promises";
import { AppError, platformErrors } from "@sba/platform/errors";
import type { OperationRequest } from "@sba/platform/execute";
import { logger } from "@sba/platform/log";
import { showBreaker } from "@sba/platform/metrics";
import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen } from "cockatiel";
import { OperationTypeNode, type ExecutionResult } from "graphql";
import { kindOf, unavailable, type LinkOperation } from "./forward.ts";

/**
 * What a subgraph that is slow or gone may cost the rest: a fetch is waited for so long and no longer; a subgraph that failed
 * too often in a row is left alone for a while, then one fetch tries it for all; a query whose connection broke is sent once
 * more. A mutation is never sent twice: it may have been done.
 */

export interface SubgraphGuardOptions {
  readonly timeoutMs?: number | undefined;
  /** Failures in a row after which a subgraph is left alone. */
  readonly failuresToOpen?: number;
  readonly openForMs?: number;
}

export interface SubgraphGuard {
  /** Never throws: what goes wrong is one typed error for each path that is owed. */
  run(operation: LinkOperation, request: OperationRequest, send: Send): Promise<ExecutionResult>;
}

/** @throws when there is no answer, or none that is GraphQL's */
export type Send = (ending: Ending) => Promise<ExecutionResult>;

/** Ends a fetch before its answer. No `AbortSignal`: one for each fetch, and who listens to it, is a tenth of what a fetch costs. */
export interface Ending {
  /** Why it has ended: its time is over, or nobody waits for it any more. */
  reason: Error | undefined;
  /** Who sends it sets this, to hear of it. */
  onEnd: ((reason: Error) => void) | undefined;
}

const TIMEOUT_MS = 30_000;
const FAILURES_TO_OPEN = 10;
const OPEN_FOR_MS = 2_000;
const PROBE_WAIT_MS = 500;
const RETRY_AFTER_MS = 50;
/** undici's and Node's: the connection could not be had, or was lost. */
const CONNECTION_LOST: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_SOCKET",
]);

export function guardSubgraph(name: string, options: SubgraphGuardOptions = {}): SubgraphGuard {
  const { timeoutMs = TIMEOUT_MS, openForMs = OPEN_FOR_MS } = options;
  const breaker = circuitBreaker(
    handleWhen((error) => !isCancelled(error)),
    { halfOpenAfter: openForMs, breaker: new ConsecutiveBreaker(options.failuresToOpen ?? FAILURES_TO_OPEN) },
  );
  showBreaker("subgraph", name, () => breaker.state);
  breaker.onBreak(() => {
    logger.warn({ "subgraph.name": name, openForMs }, "subgraph is left alone");
  });
  breaker.onReset(() => {
    logger.info({ "subgraph.name": name }, "subgraph answers again");
  });
  return {
    run: async (operation, request, send) => {
      if (breaker.state === CircuitState.HalfOpen) return unavailable(operation, leftAlone(name, PROBE_WAIT_MS));
      const isQuery = kindOf(operation) === OperationTypeNode.QUERY;
      try {
        return await breaker.execute(() => attempt(isQuery, request, () => sendWithin(timeoutMs, request, send)));
      } catch (error) {
        if (error instanceof BrokenCircuitError) return unavailable(operation, leftAlone(name, openForMs));
        // Nobody waits for the answer of a request that was given up, such as of a stream that is planned anew.
        if (!isCancelled(error))
          logger.warn({ "subgraph.name": name, err: error, requestId: request.requestId }, "subgraph did not answer");
        return unavailable(operation, toFailure(error, isQuery));
      }
    },
  };
}

async function attempt(
  isQuery: boolean,
  { signal }: OperationRequest,
  send: () => Promise<ExecutionResult>,
): Promise<ExecutionResult> {
  try {
    return await send();
  } catch (error) {
    if (!isQuery || !isConnectionLost(error)) throw error;
    await delay(RETRY_AFTER_MS, undefined, signal ? { signal } : {});
    return send();
  }
}

async function sendWithin(timeoutMs: number, { signal }: OperationRequest, send: Send): Promise<ExecutionResult> {
  const ending: Ending = { reason: undefined, onEnd: undefined };
  const end = (reason: Error): void => {
    ending.reason ??= reason;
    ending.onEnd?.(reason);
  };
  let isTooLate = false;
  const timer = setTimeout(() => {
    isTooLate = true;
    end(new Error("the time is over"));
  }, timeoutMs);
  const giveUp = (): void => {
    end(signal?.reason as Error);
  };
  if (signal?.aborted) giveUp();
  else signal?.addEventListener("abort", giveUp, { once: true });
  try {
    return await send(ending);
  } catch (error) {
    if (signal?.aborted) throw platformErrors.OPERATION_CANCELLED({ cause: error });
    throw isTooLate ? platformErrors.SUBGRAPH_TIMED_OUT({ details: { timeoutMs }, cause: error }) : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof AppError && error.kind === "cancelled";
}

function isConnectionLost(error: unknown): boolean {
  return error instanceof Error && "code" in error && CONNECTION_LOST.has(error.code);
}

function leftAlone(subgraph: string, retryAfterMs: number): AppError {
  return platformErrors.SUBGRAPH_UNAVAILABLE({ retryAfterMs, details: { subgraph, leftAlone: true } });
}

/** A mutation whose answer did not come may have been done: a client may repeat it only by its idempotency key. */
function toFailure(error: unknown, isQuery: boolean): AppError {
  const known = error instanceof AppError ? error : platformErrors.SUBGRAPH_UNAVAILABLE({ cause: error });
  if (isQuery) return known;
  return new AppError(known.code, known.kind, known.message, {
    details: { ...known.details, outcome: "unknown" },
    retryable: false,
    cause: known,
  });
}

/** For a subgraph in this process: what it still does after its time is its own, and its answer is not waited for. */
export function answerWithin(
  timeoutMs: number | undefined,
  operation: LinkOperation,
  answer: Promise<ExecutionResult>,
): Promise<ExecutionResult> {
  const waitMs = timeoutMs ?? TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const error = platformErrors.SUBGRAPH_TIMED_OUT({ details: { timeoutMs: waitMs } });
      resolve(unavailable(operation, toFailure(error, kindOf(operation) === OperationTypeNode.QUERY)));
    }, waitMs);
    answer
      .finally(() => {
        clearTimeout(timer);
      })
      .then(resolve, reject);
  });
}
