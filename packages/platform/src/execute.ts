import {
  createSourceEventStream,
  execute,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLError,
  type GraphQLSchema,
} from "graphql";
import type { Caller } from "./caller.ts";
import { requireStorable, requireStorableLiterals } from "./storable.ts";
import type { GraphContext } from "./graphql.ts";
import { presentErrors, toGraphQLError } from "./graphql-errors.ts";
import { prepareExecution, type Prepared } from "./prepared-execution.ts";
import { isTraced } from "./telemetry.ts";

/**
 * Runs parsed, validated documents on a subgraph's schema in this process: what the gateway does when both share it, what
 * the subgraph's own server does, and what tests do. Errors come out as clients see them.
 */

export interface Operation {
  readonly document: DocumentNode;
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  readonly operationName?: string | null | undefined;
}

/** On whose behalf an operation runs. */
export interface OperationRequest {
  readonly caller: Caller | undefined;
  readonly requestId: string;
  /** True for the gateway's own questions. */
  readonly internal?: boolean;
  readonly signal?: AbortSignal;
}

/** An operation that gave no result, or a stream that ended with errors; each error is ready to be shown. */
export class OperationFailed extends Error {
  override readonly name = "OperationFailed";
  readonly errors: readonly GraphQLError[];
  constructor(errors: readonly GraphQLError[]) {
    super(errors.map((error) => error.message).join("; "));
    this.errors = errors;
  }
}

const NEVER_ABORTED = new AbortController().signal;

function contextOf({ caller, requestId, internal, signal }: OperationRequest): GraphContext {
  return { caller, requestId, internal: internal === true, signal: signal ?? NEVER_ABORTED };
}

/** Executes a query or mutation with a context of its own. Never throws: what goes wrong is in `errors`. */
export async function executeInProcess(
  schema: GraphQLSchema,
  operation: Operation,
  request: OperationRequest,
): Promise<ExecutionResult> {
  try {
    requireStorableOperation(operation);
  } catch (error) {
    return { errors: presentErrors([toGraphQLError(error)], request.requestId) };
  }
  return presented(await prepare(schema, operation).run(undefined, contextOf(request)), request.requestId);
}

function requireStorableOperation({ document, variables }: Operation): void {
  requireStorableLiterals(document);
  if (variables) requireStorable(variables);
}

/** With graphql-js's own `execute` while traces are collected: the spans of fields are its instrumentation's. */
function prepare(schema: GraphQLSchema, operation: Operation): Prepared {
  if (!isTraced()) return prepareExecution(schema, operation);
  const { document, variables, operationName } = operation;
  const args = { schema, document, variableValues: variables, operationName };
  return { run: (rootValue, contextValue) => execute({ ...args, rootValue, contextValue }) };
}

function presented(result: ExecutionResult, requestId: string): ExecutionResult {
  return result.errors ? { ...result, errors: presentErrors(result.errors, requestId) } : result;
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
/** Made once: an exception of their own, with its stack, is much of what it costs to end a stream. */
const LEFT = new DOMException("The stream was left.", "AbortError");

/**
 * Subscribes at the first `next()`, and executes each event with a fresh context: scope-auth and loaders remember for the
 * life of a context, and neither a revoked permission nor a stale row may outlive an event. `return()` aborts the
 * context's signal, so that a stream which waits for news ends at once. `next()` throws OperationFailed when the stream
 * cannot start, and when its source fails.
 */
export function subscribeInProcess(
  schema: GraphQLSchema,
  operation: Operation,
  request: OperationRequest,
): AsyncIterableIterator<ExecutionResult, undefined> {
  const leaving = followAbort(request.signal);
  const ofStream = { ...request, signal: leaving.signal };
  let opening: Promise<OpenedStream> | undefined;
  let ended = false;
  const end = (): IteratorReturnResult<undefined> => {
    ended = true;
    leaving.stop();
    return DONE;
  };

  const left = (): boolean => ended;

  async function next(): Promise<IteratorResult<ExecutionResult, undefined>> {
    if (ended) return DONE;
    try {
      const { source, prepared } = await (opening ??= openStream(schema, operation, ofStream));
      // Left while it was being opened: `return` closes it.
      if (left()) return DONE;
      const event = await source.next();
      if (event.done) return end();
      const result = await prepared.run(event.value, contextOf(ofStream));
      return { done: false, value: presented(result, request.requestId) };
    } catch (error) {
      end();
      // A source that stops by throwing because it was told to stop has not failed.
      if (leaving.signal.aborted) return DONE;
      if (error instanceof OperationFailed) throw error;
      throw new OperationFailed(presentErrors([toGraphQLError(error)], request.requestId));
    }
  }

  return {
    next,
    // A source's own return() waits behind a next() under way: first end what that next() waits for.
    return: async () => {
      leaving.abort();
      end();
      // What could not be opened has told so to the next() that opened it.
      const opened = await opening?.catch(() => undefined);
      await opened?.source.return?.();
      return DONE;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** A signal that aborts with another one, until it is told to `stop`: that other one may outlive many streams. */
function followAbort(followed: AbortSignal | undefined) {
  const own = new AbortController();
  const abort = (): void => {
    own.abort(LEFT);
  };
  if (followed?.aborted) abort();
  else followed?.addEventListener("abort", abort, { once: true });
  return {
    signal: own.signal,
    abort,
    stop: () => {
      followed?.removeEventListener("abort", abort);
    },
  };
}

interface OpenedStream {
  readonly source: AsyncIterator<unknown>;
  readonly prepared: Prepared;
}

async function openStream(
  schema: GraphQLSchema,
  operation: Operation,
  request: OperationRequest,
): Promise<OpenedStream> {
  requireStorableOperation(operation);
  const { document, variables, operationName } = operation;
  const source = await createSourceEventStream({
    schema,
    document,
    variableValues: variables,
    operationName,
    contextValue: contextOf(request),
  });
  if (!(Symbol.asyncIterator in source))
    throw new OperationFailed(presentErrors(source.errors ?? [], request.requestId));
  return { source: source[Symbol.asyncIterator](), prepared: prepare(schema, operation) };
}
