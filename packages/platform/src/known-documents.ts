import { GraphQLError, parse, validate, type DocumentNode, type GraphQLSchema } from "graphql";
import { LRUCache } from "lru-cache";
import { toGraphQLError } from "./graphql-errors.ts";

/** A document that is valid for the schema, or what is wrong with its text. */
export type DocumentOf = (query: string) => DocumentNode | readonly GraphQLError[];

const MAX_DOCUMENTS = 1_000;

/** The gateway sends the same few documents for ever: each is parsed and validated once. */
export function parseOnce(schema: GraphQLSchema): DocumentOf {
  const known = new LRUCache<string, DocumentNode>({ max: MAX_DOCUMENTS });
  return (query) => {
    const existing = known.get(query);
    if (existing) return existing;
    const document = parseSafely(query);
    if (document instanceof GraphQLError) return [document];
    const errors = validate(schema, document);
    if (errors.length > 0) return errors;
    known.set(query, document);
    return document;
  };
}

export function isErrors(value: DocumentNode | readonly GraphQLError[]): value is readonly GraphQLError[] {
  return Array.isArray(value);
}

function parseSafely(query: string): DocumentNode | GraphQLError {
  try {
    return parse(query);
  } catch (error) {
    return toGraphQLError(error);
  }
}
