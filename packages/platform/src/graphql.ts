import SchemaBuilder, {
  BasePlugin,
  type ObjectRef,
  type PothosOutputFieldConfig,
  type SchemaTypes,
} from "@pothos/core";
import DirectivesPlugin from "@pothos/plugin-directives";
import FederationPlugin from "@pothos/plugin-federation";
import ScopeAuthPlugin from "@pothos/plugin-scope-auth";
import ZodPlugin from "@pothos/plugin-zod";
import DataLoader from "dataloader";
import { GraphQLError, Kind, type GraphQLSchema, type ValueNode } from "graphql";
import type { ZodError } from "zod";
import type { Caller } from "./caller.ts";
import { type AppError, errorExtensions, ensureAppError, platformErrors } from "./errors.ts";
import { logger } from "./log.ts";
import { encodePageCursor, type Page } from "./pages.ts";
import type { Permission } from "./permissions.ts";

/**
 * How domains are shown: one Pothos builder a subgraph, with the house's scalars, errors, RBAC and pages. Scopes are
 * declared once, as `authScopes`, and appear in the SDL as @authenticated and @requiresScopes for the gateway.
 */

/** What resolvers receive: made per request, and per event of a subscription, so that nothing outlives a revocation. */
export interface GraphContext {
  readonly caller: Caller | undefined;
  readonly requestId: string;
  /** True for the gateway's own questions (`authScopes: { internal: true }`); they have no caller. */
  readonly internal?: boolean;
  readonly signal: AbortSignal;
  /** DataLoaders of this request or event, by definition. */
  readonly loaders: Map<unknown, DataLoader<never, unknown>>;
}

export function createContext(options: Omit<GraphContext, "loaders">): GraphContext {
  return { ...options, loaders: new Map() };
}

/** The caller of a field that needs one. @throws CREDENTIALS_MISSING */
export function callerOf(context: GraphContext): Caller {
  if (!context.caller) throw platformErrors.CREDENTIALS_MISSING();
  return context.caller;
}

/**
 * Declares a batched look-up by key: `const runById = defineLoader(loadRuns)`, then `runById(context).load(id)`.
 * `load` returns the found values in any order, `keyOf` tells whose they are; what is absent becomes undefined.
 */
export function defineLoader<Key extends string, Value>(
  load: (caller: Caller, keys: readonly Key[]) => Promise<readonly Value[]>,
  keyOf: (value: Value) => Key,
): (context: GraphContext) => DataLoader<Key, Value | undefined> {
  return loaderOf((caller) => async (keys) => {
    const byKey = new Map((await load(caller, keys)).map((value) => [keyOf(value), value]));
    return keys.map((key) => byKey.get(key));
  });
}

/** As `defineLoader`, for look-ups that give a list for each key. */
export function defineListLoader<Key extends string, Value>(
  load: (caller: Caller, keys: readonly Key[]) => Promise<readonly Value[]>,
  keyOf: (value: Value) => Key,
): (context: GraphContext) => DataLoader<Key, Value[]> {
  return loaderOf((caller) => async (keys) => {
    const byKey = Map.groupBy(await load(caller, keys), keyOf);
    return keys.map((key) => byKey.get(key) ?? []);
  });
}

function loaderOf<Key, Value>(batch: (caller: Caller) => DataLoader.BatchLoadFn<Key, Value>) {
  const definition = {};
  return (context: GraphContext): DataLoader<Key, Value> => {
    const existing = context.loaders.get(definition) as DataLoader<Key, Value> | undefined;
    if (existing) return existing;
    const loader = new DataLoader<Key, Value>(batch(callerOf(context)), { maxBatchSize: 500 });
    context.loaders.set(definition, loader);
    return loader;
  };
}

/**
 * The SDL's `authScopes`: `{ authenticated: true }` or `{ permission: "run:read" }`; `{ internal: true }` for what only
 * the gateway asks (such a field is also `inaccessible: true`, so that no client can name it).
 */
export interface AuthScopes {
  authenticated: boolean;
  permission: Permission;
  internal: boolean;
}

export interface GraphTypes {
  Context: GraphContext;
  AuthScopes: AuthScopes;
  DefaultFieldNullability: false;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date | string };
    BigInt: { Input: bigint; Output: bigint };
    JSON: { Input: unknown; Output: unknown };
    Cursor: { Input: string; Output: string };
  };
}

/** Copies declared scopes into the SDL, for the gateway to refuse before any fetch. */
class AuthDirectivesPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override onOutputFieldConfig(field: PothosOutputFieldConfig<Types>): PothosOutputFieldConfig<Types> {
    const scopes = (field.pothosOptions as { authScopes?: Partial<AuthScopes> }).authScopes;
    if (!scopes) return field;
    const directives = [
      ...listDirectives(field.extensions?.["directives"]),
      ...(scopes.authenticated ? [{ name: "authenticated", args: {} }] : []),
      ...(scopes.permission ? [{ name: "requiresScopes", args: { scopes: [[scopes.permission]] } }] : []),
    ];
    return { ...field, extensions: { ...field.extensions, directives } };
  }
}

/** Pothos plugins write directives as a list (federation: `inaccessible`) or by name. */
function listDirectives(declared: unknown): object[] {
  if (Array.isArray(declared)) return declared as object[];
  return Object.entries((declared ?? {}) as Record<string, unknown>).map(([name, args]) => ({ name, args }));
}

const AUTH_DIRECTIVES = "sbaAuthDirectives";
SchemaBuilder.registerPlugin(AUTH_DIRECTIVES as never, AuthDirectivesPlugin as never);

export type Builder = ReturnType<typeof createBuilder>;
type PothosTypes = PothosSchemaTypes.ExtendDefaultTypes<GraphTypes>;

/** What one subgraph knows of another's entity. */
export interface EntityReference {
  /** The public id. */
  readonly id: string;
}

/** The builder of one subgraph. */
export function createBuilder() {
  const builder = new SchemaBuilder<GraphTypes>({
    plugins: [ScopeAuthPlugin, ZodPlugin, AUTH_DIRECTIVES as never, DirectivesPlugin, FederationPlugin],
    defaultFieldNullability: false,
    scopeAuth: {
      authorizeOnSubscribe: true,
      authScopes: (context) => ({
        authenticated: context.caller !== undefined,
        internal: context.internal === true,
        permission: (permission: Permission) => context.caller?.permissions.has(permission) ?? false,
      }),
      unauthorizedError: (_parent, context, info) => unauthorized(context, `${info.parentType.name}.${info.fieldName}`),
    },
    zod: { validationError: (error) => invalidInput(error) },
  });
  addScalars(builder);
  builder.queryType();
  return builder;
}

function unauthorized(context: GraphContext, coordinate: string): AppError {
  return context.caller === undefined
    ? platformErrors.CREDENTIALS_MISSING()
    : platformErrors.PERMISSION_MISSING({ details: { coordinate } });
}

function invalidInput(error: ZodError): AppError {
  const issues = error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
  return platformErrors.INPUT_INVALID({
    message: issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join("; "),
    details: { issues },
  });
}

// RFC 3339 section 5.6; a date without a zone is refused, since it is not a point in time.
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i;
const DECIMAL = /^-?\d{1,19}$/;
const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

function parseDateTime(value: unknown): Date {
  const date = typeof value === "string" && RFC3339.test(value) && isDay(value) ? new Date(value) : undefined;
  if (!date || Number.isNaN(date.getTime()))
    throw scalarError("DateTime must be an RFC 3339 time with a zone, as 2026-11-20T19:00:00Z.");
  return date;
}

/** Date takes the 30th of February for the 2nd of March: a window would silently be another than was asked for. */
function isDay(time: string): boolean {
  return new Date(`${time.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(time.slice(8, 10));
}

function parseBigInt(value: unknown): bigint {
  const text = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
  const number = typeof text === "string" && DECIMAL.test(text) ? BigInt(text) : undefined;
  if (number === undefined || number < INT64.min || number > INT64.max) {
    throw scalarError("BigInt must be a whole number of 64 bits, as a decimal string.");
  }
  return number;
}

function parseCursor(value: unknown): string {
  if (typeof value !== "string" || value.length > 512)
    throw scalarError("Cursor must be a string that this API gave out.");
  return value;
}

function scalarError(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: "BAD_USER_INPUT", reason: "INPUT_INVALID" } });
}

function parseJsonLiteral(node: ValueNode, variables: Record<string, unknown> | null | undefined): unknown {
  switch (node.kind) {
    case Kind.VARIABLE:
      return variables?.[node.name.value];
    case Kind.NULL:
      return null;
    case Kind.LIST:
      return node.values.map((item) => parseJsonLiteral(item, variables));
    case Kind.OBJECT:
      return Object.fromEntries(
        node.fields.map((field) => [field.name.value, parseJsonLiteral(field.value, variables)]),
      );
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value);
    case Kind.STRING:
    case Kind.BOOLEAN:
    case Kind.ENUM:
      return node.value;
  }
}

function literalText(node: ValueNode): unknown {
  return node.kind === Kind.STRING || node.kind === Kind.INT ? node.value : undefined;
}

function addScalars(builder: PothosSchemaTypes.SchemaBuilder<PothosSchemaTypes.ExtendDefaultTypes<GraphTypes>>): void {
  builder.scalarType("DateTime", {
    description: "A point in time, RFC 3339 in UTC.",
    serialize: (value) => new Date(value).toISOString(),
    parseValue: parseDateTime,
    parseLiteral: (node) => parseDateTime(literalText(node)),
  });
  builder.scalarType("BigInt", {
    description: "A whole number of 64 bits as a decimal string.",
    serialize: (value) => String(value),
    parseValue: parseBigInt,
    parseLiteral: (node) => parseBigInt(literalText(node)),
  });
  builder.scalarType("JSON", {
    description: "Any JSON value.",
    serialize: (value) => value,
    parseValue: (value) => value,
    parseLiteral: parseJsonLiteral,
  });
  builder.scalarType("Cursor", {
    description: "An opaque position in a list or stream.",
    serialize: String,
    parseValue: parseCursor,
    parseLiteral: (node) => parseCursor(literalText(node)),
  });
}

/** Money in millionths of a currency's unit, as the price list has it. */
export interface MoneyShape {
  readonly amountMicros: bigint;
  /** ISO 4217. */
  readonly currency: string;
}

export interface UsageLineShape {
  readonly meter: string;
  readonly quantity: bigint;
  readonly cost: MoneyShape;
}

/** Makes a ref once for each builder: value types appear only in the subgraphs that use them. */
function oncePerBuilder<Ref>(make: (builder: Builder) => Ref): (builder: Builder) => Ref {
  const made = new WeakMap<Builder, Ref>();
  return (builder) => {
    const existing = made.get(builder);
    if (existing !== undefined) return existing;
    const ref = make(builder);
    made.set(builder, ref);
    return ref;
  };
}

export const moneyRef = oncePerBuilder((builder) =>
  builder.objectRef<MoneyShape>("Money").implement({
    shareable: true,
    description: "An amount in millionths of the currency's unit.",
    fields: (t) => ({
      amountMicros: t.field({ type: "BigInt", resolve: (money) => money.amountMicros }),
      currency: t.exposeString("currency", { description: "ISO 4217." }),
    }),
  }),
);

export const usageLineRef = oncePerBuilder((builder) =>
  builder.objectRef<UsageLineShape>("UsageLine").implement({
    shareable: true,
    description: "A metered quantity and what it cost.",
    fields: (t) => ({
      meter: t.exposeString("meter"),
      quantity: t.field({ type: "BigInt", resolve: (line) => line.quantity }),
      cost: t.field({ type: moneyRef(builder), resolve: (line) => line.cost }),
    }),
  }),
);

interface PageInfoShape {
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
  readonly startCursor: string | null;
  readonly endCursor: string | null;
}

export const pageInfoRef = oncePerBuilder((builder) =>
  builder.objectRef<PageInfoShape>("PageInfo").implement({
    shareable: true,
    description: "Where a page stands in its list (Relay Cursor Connections).",
    fields: (t) => ({
      hasNextPage: t.exposeBoolean("hasNextPage"),
      hasPreviousPage: t.exposeBoolean("hasPreviousPage"),
      startCursor: t.field({ type: "Cursor", nullable: true, resolve: (page) => page.startCursor }),
      endCursor: t.field({ type: "Cursor", nullable: true, resolve: (page) => page.endCursor }),
    }),
  }),
);

export interface EdgeShape<Node> {
  readonly cursor: string;
  readonly node: Node;
}

export interface ConnectionShape<Node> {
  readonly edges: readonly EdgeShape<Node>[];
  readonly pageInfo: PageInfoShape;
}

/** The connection and edge types of one kind of node; further fields are added by the noun with `builder.objectFields`. */
export function connectionRef<Node extends object>(
  builder: Builder,
  name: string,
  node: ObjectRef<PothosTypes, Node>,
): ObjectRef<PothosTypes, ConnectionShape<Node>> {
  const edge = builder.objectRef<EdgeShape<Node>>(`${name}Edge`);
  edge.implement({
    fields: (t) => ({
      cursor: t.field({ type: "Cursor", resolve: ({ cursor }) => cursor }),
      node: t.field({ type: node, resolve: (parent) => parent.node as never }),
    }),
  });
  return builder.objectRef<ConnectionShape<Node>>(`${name}Connection`).implement({
    fields: (t) => ({
      edges: t.field({ type: [edge], resolve: ({ edges }) => [...edges] }),
      pageInfo: t.field({ type: pageInfoRef(builder), resolve: ({ pageInfo }) => pageInfo }),
    }),
  });
}

/** Another subgraph's entity, referred to by its public id; its owner adds the rest. */
export function entityStub(builder: Builder, name: string): ObjectRef<PothosTypes, EntityReference> {
  const stub = builder.objectRef<EntityReference>(name).implement({ fields: (t) => ({ id: t.exposeID("id") }) });
  builder.asEntity(stub, {
    key: builder.keyDirective(builder.selection<{ id: string }>("id"), false),
    resolveReference: (reference) => reference,
  });
  return stub;
}

/** A page as a connection. `cursorOf` gives the cursor of an item; by default that of its id. */
export function toConnection<Node>(
  page: Page<Node>,
  options: { readonly after?: string | null | undefined; readonly cursorOf: (node: Node) => string },
): ConnectionShape<Node> {
  const edges = page.items.map((node) => ({ cursor: options.cursorOf(node), node }));
  return {
    edges,
    pageInfo: {
      hasNextPage: page.hasNextPage,
      hasPreviousPage: options.after !== null && options.after !== undefined,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

/** The cursor of a row in a list ordered by its id. */
export function idCursor(row: { readonly id: string }): string {
  return encodePageCursor(row.id);
}

/** Errors as a client sees them, on every transport: ours with their extensions, the rest masked and logged. */
export function presentErrors(errors: readonly GraphQLError[], requestId?: string): GraphQLError[] {
  return errors.map((error) => presentError(error, requestId));
}

export function presentError(error: GraphQLError, requestId?: string): GraphQLError {
  const original = error.originalError;
  if (original === undefined || original instanceof GraphQLError) {
    return withExtensions(error, error.message, requestErrorExtensions(error, requestId));
  }
  const known = ensureAppError(original);
  if (known.kind === "internal") {
    logger.error({ err: known.cause ?? known, "graphql.path": error.path?.join("."), requestId }, "resolver failed");
  }
  return withExtensions(error, known.message, { ...errorExtensions(known, requestId) });
}

/** Anything thrown, as an error that `presentErrors` can show. */
export function toGraphQLError(thrown: unknown): GraphQLError {
  if (thrown instanceof GraphQLError) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new GraphQLError(error.message, { originalError: error });
}

/** GraphQL's own errors (syntax, validation, variables) carry at most a code; what the contract promises is completed. */
function requestErrorExtensions(error: GraphQLError, requestId: string | undefined): Record<string, unknown> {
  const code = error.extensions["code"] ?? "BAD_USER_INPUT";
  const reason = code === "BAD_USER_INPUT" ? "INPUT_INVALID" : code;
  // `http` is Apollo Server's own (status and headers of the answer), not the client's.
  const { http, ...shown } = error.extensions;
  return { reason, retryable: false, ...shown, code, ...(requestId === undefined ? {} : { requestId }) };
}

function withExtensions(error: GraphQLError, message: string, extensions: Record<string, unknown>): GraphQLError {
  const { nodes = null, source = null, positions = null, path = null } = error;
  return new GraphQLError(message, { nodes, source, positions, path, extensions });
}

/** The federated schema of one subgraph. */
export function toSubgraphSchema(builder: Builder): GraphQLSchema {
  return builder.toSubGraphSchema({
    linkUrl: "https://specs.apollo.dev/federation/v2.9",
    federationDirectives: [
      "@key",
      "@shareable",
      "@inaccessible",
      "@tag",
      "@external",
      "@authenticated",
      "@requiresScopes",
    ],
  });
}
