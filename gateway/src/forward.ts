import { errorExtensions, type AppError } from "@sba/platform/errors";
import { executeInProcess, subscribeInProcess, type OperationRequest } from "@sba/platform/execute";
import type { Route, Subgraph } from "@sba/platform/server";
import {
  GraphQLError,
  Kind,
  OperationTypeNode,
  parse,
  type DocumentNode,
  type ExecutionResult,
  type OperationDefinitionNode,
} from "graphql";
import { LRUCache } from "lru-cache";
import type { Client } from "./metrics.ts";

/**
 * How the gateway reaches a subgraph. In process its schema executes the plan's parsed document: no text, no second parse,
 * no HTTP. Over the wire see `forward-remote.ts`. Everything above works with links and does not know which it has.
 */

export interface LinkOperation {
  readonly query: string;
  /** The same, parsed; a plan has it. */
  readonly document?: DocumentNode | undefined;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly operationName?: string | undefined;
}

export interface SubgraphLink {
  readonly name: string;
  readonly routes: readonly Route[];
  /** Never throws: a subgraph that does not answer gives one error for each path that it was asked for. */
  execute(operation: LinkOperation, request: OperationRequest): Promise<ExecutionResult>;
  /** Throws OperationFailed from `next()` when the stream cannot start or breaks. */
  subscribe(operation: LinkOperation, request: OperationRequest): AsyncIterableIterator<ExecutionResult, undefined>;
  isReady(): Promise<boolean>;
  close(): Promise<void>;
}

export type SubgraphLinks = ReadonlyMap<string, SubgraphLink>;

// Documents that come without their parsed form: the gateway's own few questions.
const parsed = new LRUCache<string, DocumentNode>({ max: 500 });

export function documentOf({ document, query }: LinkOperation): DocumentNode {
  const known = document ?? parsed.get(query);
  if (known) return known;
  const made = parse(query);
  parsed.set(query, made);
  return made;
}

/** What an operation is: its document has one. */
export function kindOf(operation: LinkOperation): OperationTypeNode {
  const definition = definitionOf(documentOf(operation));
  return definition?.operation ?? OperationTypeNode.QUERY;
}

function definitionOf({ definitions }: DocumentNode): OperationDefinitionNode | undefined {
  return definitions.find((each) => each.kind === Kind.OPERATION_DEFINITION);
}

/** @param within how an answer is waited for */
export function linkInProcess(
  { name, schema, routes }: Subgraph,
  within: Within = (_operation, answer) => answer,
): SubgraphLink {
  const toOperation = (operation: LinkOperation) => ({
    document: documentOf(operation),
    variables: operation.variables,
    operationName: operation.operationName,
  });
  return {
    name,
    routes,
    execute: (operation, request) => within(operation, executeInProcess(schema, toOperation(operation), request)),
    subscribe: (operation, request) => subscribeInProcess(schema, toOperation(operation), request),
    isReady: () => Promise.resolve(true),
    close: () => Promise.resolve(),
  };
}

export type Within = (operation: LinkOperation, answer: Promise<ExecutionResult>) => Promise<ExecutionResult>;

/** What travels with an operation through a plan, to each of its fetches. */
export interface GatewayContext extends OperationRequest {
  readonly signal: AbortSignal;
  /** Where the request came from; strangers are told apart by it. */
  readonly address?: string | undefined;
  readonly client?: Client;
}

/** The answer of a subgraph that did not answer: one error for each path that it owes, so that the rest of the result stands. */
export function unavailable(operation: LinkOperation, error: AppError): ExecutionResult {
  return {
    errors: owedPaths(operation).map(
      (path) => new GraphQLError(error.message, { path, extensions: { ...errorExtensions(error) } }),
    ),
  };
}

function owedPaths({ variables, ...operation }: LinkOperation): readonly (readonly (string | number)[])[] {
  const { representations } = variables;
  if (Array.isArray(representations)) return representations.map((_, index) => ["_entities", index]);
  const definition = definitionOf(documentOf({ variables, ...operation }));
  return (definition?.selectionSet.selections ?? []).flatMap((each) =>
    each.kind === Kind.FIELD ? [[(each.alias ?? each.name).value]] : [],
  );
}
