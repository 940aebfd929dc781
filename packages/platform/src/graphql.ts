import SchemaBuilder, { type ObjectRef } from "@pothos/core";
import DirectivesPlugin from "@pothos/plugin-directives";
import FederationPlugin from "@pothos/plugin-federation";
import ScopeAuthPlugin from "@pothos/plugin-scope-auth";
import DataLoader from "dataloader";
import type { GraphQLSchema } from "graphql";
import type { ZodError } from "zod";
import type { Caller } from "./caller.ts";
import { type AppError, platformErrors } from "./errors.ts";
import type { EventGap } from "./events.ts";
import { AUTH_DIRECTIVES, LIST_SIZES, VALIDATION } from "./graphql-plugins.ts";
import { encodePageCursor, type Page } from "./pages.ts";
import type { Permission } from "./permissions.ts";
import { addScalars } from "./scalars.ts";

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
  /** DataLoaders of this request or event, by definition; most events need none. */
  loaders?: Map<unknown, DataLoader<never, unknown>>;
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
    const loaders = (context.loaders ??= new Map());
    const existing = loaders.get(definition) as DataLoader<Key, Value> | undefined;
    if (existing) return existing;
    const loader = new DataLoader<Key, Value>(batch(callerOf(context)), { maxBatchSize: 500 });
    loaders.set(definition, loader);
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
    plugins: [ScopeAuthPlugin, VALIDATION, AUTH_DIRECTIVES, LIST_SIZES, DirectivesPlugin, FederationPlugin],
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

/** What the `gap` of an event says of itself. */
export const GAP_FIELD = "What should have come before this event; null when nothing is missing.";

export const eventGapRef = oncePerBuilder((builder) =>
  builder.objectRef<EventGap>("EventGap").implement({
    shareable: true,
    description: "Events that the journal no longer has: read anew what you follow.",
    fields: (t) => ({
      fromSeq: t.exposeInt("fromSeq"),
      toSeq: t.exposeInt("toSeq"),
      cause: t.string({ resolve: () => "RETENTION" }),
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
      "@cost",
      "@listSize",
    ],
  });
}
