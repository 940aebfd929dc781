import { createHash } from "node:crypto";
import { AppError } from "@sba/platform/errors";
import { getOperationAST, GraphQLError, validate, type DocumentNode, type OperationDefinitionNode } from "graphql";
import { LRUCache } from "lru-cache";
import { errors, toShownError } from "./errors.ts";
import type { Graph } from "./graph.ts";
import { parseWithin, type Limits } from "./limits.ts";

/** Operations as they are sent: parsed within the limits and validated once for each text and graph, whichever way they come. */

export interface KnownDocument {
  readonly document: DocumentNode;
  readonly text: string;
  /** Of the text. */
  readonly hash: string;
}

export interface Documents {
  /** What is wrong with it comes back as errors to be shown. */
  readonly of: (graph: Graph, query: string) => KnownDocument | readonly GraphQLError[];
  /** As `hashOf`, at once for what is known. */
  readonly hashOf: (query: string) => string;
}

const MAX_DOCUMENTS = 1_000;

export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

export function createDocuments(limits: Limits): Documents {
  // By their texts, and not by hashes: a known one costs no more than to be looked up.
  const known = new LRUCache<string, KnownDocument & { readonly graph: string }>({ max: MAX_DOCUMENTS });
  return {
    of: (graph, query) => {
      const existing = known.get(query);
      if (existing?.graph === graph.id) return existing;
      const document = existing?.document ?? parseShown(query, limits);
      if (document instanceof GraphQLError) return [document];
      const problems = graph.told(validate(graph.schema, document));
      if (problems.length > 0) return problems.map((problem) => withCode(problem, "GRAPHQL_VALIDATION_FAILED"));
      const made = { document, text: query, hash: existing?.hash ?? hashOf(query), graph: graph.id };
      known.set(query, made);
      return made;
    },
    hashOf: (query) => known.peek(query)?.hash ?? hashOf(query),
  };
}

/** Parses within the limits; what is wrong comes back as an error to be shown. */
export function parseShown(query: string, limits: Limits): DocumentNode | GraphQLError {
  try {
    return parseWithin(query, limits);
  } catch (error) {
    if (error instanceof AppError) return toShownError(error);
    if (error instanceof GraphQLError) return withCode(error, "GRAPHQL_PARSE_FAILED");
    throw error;
  }
}

function withCode({ message, nodes, source, positions }: GraphQLError, code: string): GraphQLError {
  return new GraphQLError(message, {
    nodes: nodes ?? null,
    source: source ?? null,
    positions: positions ?? null,
    extensions: { code },
  });
}

/** The operation to run. */
export function operationIn(
  document: DocumentNode,
  operationName: string | null | undefined,
): OperationDefinitionNode | GraphQLError {
  return getOperationAST(document, operationName) ?? toShownError(errors.OPERATION_UNKNOWN());
}

type GivenVariables = Readonly<Record<string, unknown>>;

/** Those of the variables that the operation declares: GraphQL passes over others, which a stream would keep as long as it goes on. */
export function declaredVariables(
  { variableDefinitions = [] }: OperationDefinitionNode,
  given: GivenVariables,
): GivenVariables {
  const declared = variableDefinitions
    .map(({ variable }) => variable.name.value)
    .filter((name) => Object.hasOwn(given, name));
  if (declared.length === Object.keys(given).length) return given;
  return Object.fromEntries(declared.map((name) => [name, given[name]]));
}
