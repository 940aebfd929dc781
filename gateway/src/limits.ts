import type { AppError, AppErrorOptions } from "@sba/platform/errors";
import {
  Kind,
  parse,
  type DocumentNode,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from "graphql";
import { errors } from "./errors.ts";
import type { QuotaLimits } from "./quotas.ts";

/**
 * What an operation may cost before it is even validated. Apollo Server has no such limits: it executes ten thousand
 * aliases and reads ten megabytes of comments. All are counted with fragments spread out, as the executor would.
 */
export interface Limits {
  /** A signed-in caller's request body: many documents of 1 MiB. */
  readonly maxBodyBytes: number;
  /** Bodies being read and parsed at once in this process: parsed, a byte of JSON can take four of the heap. */
  readonly maxBodyBytesUnderWay: number;
  /** The body of whoever has not said who they are. */
  readonly maxAnonymousBodyBytes: number;
  /** One message on a socket. */
  readonly maxMessageBytes: number;
  readonly maxQueryBytes: number;
  readonly maxTokens: number;
  /** Levels of fields; the standard introspection query has 15. */
  readonly maxDepth: number;
  readonly maxAliases: number;
  readonly maxRootFields: number;
  readonly maxDirectives: number;
  readonly maxFields: number;
  /** Operations in one HTTP request; 1 allows no batches. */
  readonly maxBatch: number;
  /** What one operation may cost, by `cost.ts`. */
  readonly maxCost: number;
  /** Items of a list of which the schema says nothing. */
  readonly assumedListSize: number;
  /** Operations under way on one socket: each costs reads of a database that all tenants share. */
  readonly maxSocketOperations: number;
  /** Sockets and event streams that this process holds. */
  readonly connections: QuotaLimits;
  /** Subscriptions that they carry. */
  readonly subscriptions: QuotaLimits;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: Limits = {
  maxBodyBytes: 32 * MIB,
  maxBodyBytesUnderWay: 40 * MIB,
  maxAnonymousBodyBytes: MIB,
  maxMessageBytes: 2 * MIB,
  maxQueryBytes: 64 * 1024,
  maxTokens: 4_000,
  maxDepth: 15,
  maxAliases: 30,
  maxRootFields: 20,
  maxDirectives: 50,
  maxFields: 2_000,
  maxBatch: 1,
  // Two pages of a hundred, one in the other, with an object or two of each item.
  maxCost: 50_000,
  assumedListSize: 10,
  maxSocketOperations: 100,
  // 10,000 connections take some 250 MB.
  connections: { perTenant: 20_000, perPrincipal: 10_000, perAddress: 10_000 },
  subscriptions: { perTenant: 50_000, perPrincipal: 20_000, perAddress: 50_000 },
};

/** Parses an operation's text within the limits. @throws AppError OPERATION_TOO_*, and GraphQL's own syntax error. */
export function parseWithin(query: string, limits: Limits): DocumentNode {
  if (Buffer.byteLength(query) > limits.maxQueryBytes)
    throw tooMuch(errors.OPERATION_TOO_LARGE, "bytes of text", limits.maxQueryBytes);
  const document = parseTokens(query, limits.maxTokens);
  const measure = measurer(document);
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    const size = measure(definition.selectionSet);
    if (size.depth > limits.maxDepth) throw tooMuch(errors.OPERATION_TOO_DEEP, "levels of fields", limits.maxDepth);
    if (size.rootFields > limits.maxRootFields)
      throw tooMuch(errors.OPERATION_TOO_MANY_ROOT_FIELDS, "root fields", limits.maxRootFields);
    if (size.aliases > limits.maxAliases)
      throw tooMuch(errors.OPERATION_TOO_MANY_ALIASES, "aliases", limits.maxAliases);
    if (size.directives > limits.maxDirectives)
      throw tooMuch(errors.OPERATION_TOO_MANY_DIRECTIVES, "directives", limits.maxDirectives);
    if (size.fields > limits.maxFields) throw tooMuch(errors.OPERATION_TOO_MANY_FIELDS, "fields", limits.maxFields);
  }
  return document;
}

function parseTokens(query: string, maxTokens: number): DocumentNode {
  try {
    return parse(query, { maxTokens });
  } catch (error) {
    // graphql-js has no other sign of this than its words.
    if (error instanceof Error && error.message.includes("Parsing aborted"))
      throw tooMuch(errors.OPERATION_TOO_MANY_TOKENS, "tokens", maxTokens);
    throw error;
  }
}

type ErrorFactory = (options?: AppErrorOptions) => AppError;

function tooMuch(error: ErrorFactory, what: string, limit: number): AppError {
  return error({ message: `An operation may have at most ${limit} ${what}.`, details: { limit } });
}

interface Size {
  readonly depth: number;
  readonly rootFields: number;
  readonly fields: number;
  readonly aliases: number;
  readonly directives: number;
}

const NOTHING: Size = { depth: 0, rootFields: 0, fields: 0, aliases: 0, directives: 0 };

/** As many as an operation counts for when each does a work of its own. */
export function rootFieldsOf(document: DocumentNode, { selectionSet }: OperationDefinitionNode): number {
  return measurer(document)(selectionSet).rootFields;
}

/** Measures selections with their fragments spread out. Each fragment is measured once, so the measuring itself is cheap. */
function measurer({ definitions }: DocumentNode): (selections: SelectionSetNode) => Size {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const each of definitions) if (each.kind === Kind.FRAGMENT_DEFINITION) fragments.set(each.name.value, each);
  const known = new Map<string, Size>();
  const ofFragment = (name: string): Size => {
    const existing = known.get(name);
    if (existing) return existing;
    // A fragment that spreads itself counts nothing here; validation refuses it.
    known.set(name, NOTHING);
    const fragment = fragments.get(name);
    const size = fragment ? ofSelections(fragment.selectionSet) : NOTHING;
    known.set(name, size);
    return size;
  };
  const ofSelection = (node: SelectionNode): Size => {
    const directives = node.directives?.length ?? 0;
    if (node.kind === Kind.FRAGMENT_SPREAD) return add(ofFragment(node.name.value), { ...NOTHING, directives });
    const inner = node.selectionSet ? ofSelections(node.selectionSet) : NOTHING;
    if (node.kind === Kind.INLINE_FRAGMENT) return add(inner, { ...NOTHING, directives });
    return {
      depth: inner.depth + 1,
      rootFields: 1,
      fields: inner.fields + 1,
      aliases: inner.aliases + (node.alias ? 1 : 0),
      directives: inner.directives + directives,
    };
  };
  const ofSelections = ({ selections }: SelectionSetNode): Size => selections.map(ofSelection).reduce(add, NOTHING);
  return ofSelections;
}

function add(a: Size, b: Size): Size {
  return {
    depth: Math.max(a.depth, b.depth),
    rootFields: a.rootFields + b.rootFields,
    fields: a.fields + b.fields,
    aliases: a.aliases + b.aliases,
    directives: a.directives + b.directives,
  };
}
