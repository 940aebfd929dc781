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
import { createContext, presentErrors, toGraphQLError, type GraphContext } from "./graphql.ts";

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
  return createContext({ caller, requestId, internal: internal === true, signal: signal ?? NEVER_ABORTED });
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
  return executeWith(schema, operation, request, undefined);
}

function requireStorableOperation({ document, variables }: Operation): void {
  requireStorableLiterals(document);
  if (variables) requireStorable(variables);
}

async function executeWith(
  schema: GraphQLSchema,
  operation: Operation,
  request: OperationRequest,
  rootValue: unknown,
): Promise<ExecutionResult> {
  const { document, variables, operationName } = operation;
  const result = await execute({
    schema,
    document,
    rootValue,
    contextValue: contextOf(request),
    variableValues: variables,
    operationName,
  });
  return result.errors ? { ...result, errors: presentErrors(result.errors, request.requestId) } : result;
}

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
  const leaving = new AbortController();
  const signal = request.signal ? AbortSignal.any([request.signal, leaving.signal]) : leaving.signal;
  const events = executeEvents(schema, operation, { ...request, signal });
  return {
    next: () => events.next(),
    // A generator's own return() waits behind a next() under way: first end what that next() waits for.
    return: () => {
      leaving.abort();
      return events.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* executeEvents(
  schema: GraphQLSchema,
  operation: Operation,
  request: OperationRequest & { readonly signal: AbortSignal },
): AsyncGenerator<ExecutionResult, undefined> {
  try {
    const source = await openSource(schema, operation, request);
    for await (const event of source) yield await executeWith(schema, operation, request, event);
  } catch (error) {
    // A source that stops by throwing because it was told to stop has not failed.
    if (request.signal.aborted) return undefined;
    if (error instanceof OperationFailed) throw error;
    throw new OperationFailed(presentErrors([toGraphQLError(error)], request.requestId));
  }
  return undefined;
}

async function openSource(
  schema: GraphQLSchema,
  operation: Operation,
  request: OperationRequest,
): Promise<AsyncIterable<unknown>> {
  requireStorableOperation(operation);
  const { document, variables, operationName } = operation;
  const source = await createSourceEventStream({
    schema,
    document,
    variableValues: variables,
    operationName,
    contextValue: contextOf(request),
  });
  if (Symbol.asyncIterator in source) return source;
  throw new OperationFailed(presentErrors(source.errors ?? [], request.requestId));
}
