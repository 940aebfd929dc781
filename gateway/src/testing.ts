import { once } from "node:events";
import { composeServices } from "@apollo/composition";
import { printSubgraphSchema } from "@apollo/subgraph";
import type { PrincipalKind, TenantScope } from "@sba/platform/caller";
import { startAfter, type StreamStart } from "@sba/platform/consumers";
import { withTenant } from "@sba/platform/db";
import { defineErrors } from "@sba/platform/errors";
import {
  appendEvents,
  defineEvent,
  encodeCursor,
  streamEvents,
  streamOf,
  type EventRecord,
} from "@sba/platform/events";
import { callerOf, createBuilder, defineLoader, toSubgraphSchema } from "@sba/platform/graphql";
import { newId } from "@sba/platform/ids";
import type { Permission } from "@sba/platform/permissions";
import { pubsub } from "@sba/platform/pubsub";
import { startSubgraphServer, type RunningServer, type Subgraph } from "@sba/platform/server";
import { aCaller } from "@sba/testkit/fixtures";
import { parse } from "graphql";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";
import { WebSocket } from "ws";
import { z } from "zod";
import { startGateway, type GatewayOptions, type RunningGateway } from "./gateway.ts";
import { openQueue, type Queue } from "./queue.ts";

/**
 * A small federated world for the gateway's tests: an identity that knows the principals it was told, a story domain
 * whose events are the real journal, and a prices domain that adds fields to the stories' entities.
 */

export const errors = defineErrors("gateway.testing", {
  STORY_NOT_FOUND: { kind: "not_found", message: "There is no such story." },
  PRICE_UNKNOWN: { kind: "conflict", message: "Nobody knows this price." },
});

export interface Member extends TenantScope {
  readonly principalId: string;
  /** A token of the local issuer; claims and header fields replace those of a good one. */
  token(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
  /** The key of an API key, if it is one. */
  readonly apiKey: string | undefined;
}

interface Standing {
  tenantId: string;
  principalKind: PrincipalKind;
  permissions: Set<Permission>;
}

export interface World {
  readonly subgraphs: readonly Subgraph[];
  readonly supergraphSdl: string;
  /** Someone of a tenant of their own, unless told which. */
  join(permissions: readonly Permission[], options?: { readonly tenantId?: string; readonly apiKey?: boolean }): Member;
  /** Changes what someone may do, undefined for removed, and announces it as identity does; or not, as when it is lost. */
  setPermissions(member: Member, permissions: readonly Permission[] | undefined, told?: "told" | "untold"): void;
  /** Suspends everybody of a tenant, or resumes it, and announces it as identity does. */
  setSuspended(scope: TenantScope, isSuspended: boolean): void;
  /** Says whose pages may call for a tenant from a browser, and announces it as identity does. */
  setAllowedOrigins(scope: TenantScope, origins: readonly string[]): void;
  /** Ends a session that a token names in its `sid`, and announces it as identity does. */
  endSession(member: Member, sessionId: string): void;
  /** Called before identity answers for a principal. */
  beforeGrants: () => Promise<void>;
  /** Replaces the issuer's key. */
  rotateKeys(): Promise<void>;
  /** Runs of streams' sources, open now and ever. */
  readonly sources: { open: number; opened: number };
  /** How often each subgraph was asked for entities or roots. */
  readonly asked: { identity: number; prices: number; stories: number };
  /** Makes the prices domain fail, to be put right again. */
  broken: boolean;
}

const told = defineEvent({
  type: "gateway.story.told",
  version: 1,
  description: "A line of a story.",
  payload: z.object({ text: z.string() }),
});
const ended = defineEvent({
  type: "gateway.story.ended",
  version: 1,
  description: "The end of a story.",
  payload: z.object({ moral: z.string() }),
});

/** Appends lines to a story, and its end. */
export async function tell(
  scope: TenantScope,
  storyId: string,
  lines: readonly string[],
  moral?: string,
): Promise<void> {
  const caller = aCaller({ tenantId: scope.tenantId });
  const events = [...lines.map((text) => told({ text })), ...(moral === undefined ? [] : [ended({ moral })])];
  await withTenant(caller, (tx) =>
    appendEvents(tx, caller, streamOf("story", storyId), events as Parameters<typeof appendEvents>[3]),
  );
}

/** Tells whoever listens to `ticks`. */
export function tick(number: number): void {
  pubsub().publish("gateway.tick", String(number));
}

export async function createWorld(): Promise<World> {
  const world: Writable<World> = {
    subgraphs: [],
    supergraphSdl: "",
    broken: false,
    sources: { open: 0, opened: 0 },
    asked: { identity: 0, prices: 0, stories: 0 },
    join: (permissions, options) => join(identity, permissions, options),
    setPermissions: (member, permissions, told = "told") => {
      setPermissions(identity, member, permissions);
      if (told === "told") announce({ tenantId: member.tenantId, principalId: member.principalId });
    },
    setSuspended: ({ tenantId }, isSuspended) => {
      if (isSuspended) identity.suspended.add(tenantId);
      else identity.suspended.delete(tenantId);
      announce({ tenantId });
    },
    setAllowedOrigins: ({ tenantId }, origins) => {
      identity.allowedOrigins.set(tenantId, origins);
      announce({ tenantId });
    },
    endSession: ({ tenantId, principalId }, sessionId) => {
      identity.endedSessions.add(sessionId);
      announce({ tenantId, principalId });
    },
    beforeGrants: () => Promise.resolve(),
    rotateKeys: async () => {
      identity.keys = await makeKeys();
    },
  };
  const identity: IdentityState = {
    keys: await makeKeys(),
    standings: new Map(),
    apiKeys: new Map(),
    suspended: new Set(),
    endedSessions: new Set(),
    allowedOrigins: new Map(),
  };
  world.subgraphs = [identitySubgraph(world, identity), storiesSubgraph(world), pricesSubgraph(world)];
  world.supergraphSdl = compose(world.subgraphs);
  return world;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export function compose(subgraphs: readonly Subgraph[]): string {
  const composed = composeServices(
    subgraphs.map(({ name, schema }) => ({ name, url: "", typeDefs: parse(printSubgraphSchema(schema)) })),
  );
  if (composed.errors) throw new Error(composed.errors.map(String).join("\n"));
  return composed.supergraphSdl;
}

interface Keys {
  readonly jwk: JWK;
  readonly privateKey: CryptoKey;
}

interface IdentityState {
  keys: Keys;
  readonly standings: Map<string, Standing>;
  readonly apiKeys: Map<string, string>;
  readonly suspended: Set<string>;
  readonly endedSessions: Set<string>;
  readonly allowedOrigins: Map<string, readonly string[]>;
}

function announce(revocation: { readonly tenantId: string; readonly principalId?: string }): void {
  pubsub().publish("identity.revoked", JSON.stringify(revocation));
}

async function makeKeys(): Promise<Keys> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid: newId(), alg: "ES256", use: "sig" } };
}

function join(
  identity: IdentityState,
  permissions: readonly Permission[],
  { tenantId = newId(), apiKey = false }: { readonly tenantId?: string; readonly apiKey?: boolean } = {},
): Member {
  const principalId = newId();
  identity.standings.set(principalId, {
    tenantId,
    principalKind: apiKey ? "API_KEY" : "USER",
    permissions: new Set(permissions),
  });
  const key = apiKey ? `sba_${newId().replaceAll("-", "")}` : undefined;
  if (key !== undefined) identity.apiKeys.set(key, principalId);
  return {
    tenantId,
    principalId,
    apiKey: key,
    token: (claims = {}, header = {}) => {
      const nowS = Math.floor(Date.now() / 1000);
      return new SignJWT({
        iss: "sba-identity",
        aud: "sba",
        sub: principalId,
        tid: tenantId,
        iat: nowS,
        nbf: nowS,
        exp: nowS + 900,
        ...claims,
      })
        .setProtectedHeader({ alg: "ES256", kid: identity.keys.jwk.kid ?? "", ...header })
        .sign(identity.keys.privateKey);
    },
  };
}

function setPermissions(
  { standings }: IdentityState,
  { principalId }: Member,
  permissions: readonly Permission[] | undefined,
): void {
  const standing = standings.get(principalId);
  if (permissions === undefined) standings.delete(principalId);
  else if (standing) standing.permissions = new Set(permissions);
}

function identitySubgraph(world: World, identity: IdentityState): Subgraph {
  const builder = createBuilder();
  const Tenant = builder.objectRef<{ id: string }>("Tenant").implement({
    fields: (t) => ({ id: t.exposeID("id"), name: t.string({ resolve: ({ id }) => `tenant ${id}` }) }),
  });
  const loadTenants = defineLoader(
    (_caller, ids) => {
      world.asked.identity++;
      return Promise.resolve(ids.map((id) => ({ id })));
    },
    ({ id }) => id,
  );
  builder.asEntity(Tenant, {
    key: builder.selection<{ id: string }>("id"),
    resolveReference: ({ id }, context) => loadTenants(context).load(id),
  });
  interface Grants extends Standing {
    readonly principalId: string;
  }
  const Kind = builder.enumType("PrincipalKind", { values: ["USER", "SERVICE_ACCOUNT", "API_KEY"] as const });
  const GrantsRef = builder.objectRef<Grants>("Grants").implement({
    inaccessible: true,
    fields: (t) => ({
      tenantId: t.exposeID("tenantId"),
      principalId: t.exposeID("principalId"),
      principalKind: t.field({ type: Kind, resolve: ({ principalKind }) => principalKind }),
      permissions: t.stringList({ resolve: ({ permissions }) => [...permissions] }),
      expiresAt: t.field({ type: "DateTime", nullable: true, resolve: () => null }),
      isSuspended: t.boolean({ resolve: ({ tenantId }) => identity.suspended.has(tenantId) }),
    }),
  });
  const grantsOf = (principalId: string | undefined): Grants | null => {
    const standing = principalId === undefined ? undefined : identity.standings.get(principalId);
    if (!standing || principalId === undefined) return null;
    const permissions = identity.suspended.has(standing.tenantId) ? new Set<Permission>() : standing.permissions;
    return { ...standing, permissions, principalId };
  };
  builder.queryField("principalGrants", (t) =>
    t.field({
      type: GrantsRef,
      nullable: true,
      inaccessible: true,
      authScopes: { internal: true },
      args: {
        tenantId: t.arg.id({ required: true }),
        principalId: t.arg.id({ required: true }),
        sessionId: t.arg.id(),
      },
      resolve: async (_root, { tenantId, principalId, sessionId }) => {
        const grants = grantsOf(principalId);
        await world.beforeGrants();
        const isOver = sessionId && identity.endedSessions.has(sessionId);
        return grants?.tenantId === tenantId && !isOver ? grants : null;
      },
    }),
  );
  builder.queryField("apiKeyGrants", (t) =>
    t.field({
      type: GrantsRef,
      nullable: true,
      inaccessible: true,
      authScopes: { internal: true },
      args: { key: t.arg.string({ required: true }) },
      resolve: (_root, { key }) => grantsOf(identity.apiKeys.get(key)),
    }),
  );
  builder.queryField("isOriginAllowed", (t) =>
    t.boolean({
      inaccessible: true,
      authScopes: { internal: true },
      args: { origin: t.arg.string({ required: true }), tenantId: t.arg.id() },
      resolve: (_root, { origin, tenantId }) => {
        world.asked.identity++;
        const allowed = tenantId
          ? (identity.allowedOrigins.get(tenantId) ?? [])
          : [...identity.allowedOrigins.values()].flat();
        return allowed.includes(origin);
      },
    }),
  );
  builder.queryField("whoAmI", (t) =>
    t.id({ authScopes: { authenticated: true }, resolve: (_root, _args, context) => callerOf(context).principalId }),
  );
  builder.queryField("greeting", (t) =>
    t.string({
      args: { name: t.arg.string({ required: true }) },
      resolve: (_root, { name }) => `Hello, ${name}`,
    }),
  );
  builder.queryField("ledger", (t) =>
    t.int({ tag: "partner", authScopes: { permission: "usage:read" }, resolve: () => 7 }),
  );
  builder.queryField("crash", (t) =>
    t.string({
      nullable: true,
      resolve: () => {
        throw new Error("the password is hunter2");
      },
    }),
  );
  return {
    name: "identity",
    schema: toSubgraphSchema(builder),
    routes: [
      {
        method: "GET",
        path: "/.well-known/jwks.json",
        handle: () =>
          Promise.resolve({
            status: 200,
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ keys: [identity.keys.jwk] }),
          }),
      },
      {
        method: "PUT",
        path: "/echo/:name",
        handle: async ({ params, body }) => ({
          status: 201,
          headers: { "content-type": "text/plain" },
          body: `${params["name"]}: ${(await body.toArray()).join("")}`,
        }),
      },
      {
        method: "GET",
        path: "/mine",
        authenticated: true,
        handle: ({ caller }) => Promise.resolve({ status: 200, body: caller?.principalId ?? "" }),
      },
    ],
  };
}

interface Story {
  readonly id: string;
  readonly tenantId: string;
}

function storiesSubgraph(world: World): Subgraph {
  const builder = createBuilder();
  const Tenant = builder.objectRef<{ id: string }>("Tenant").implement({ fields: (t) => ({ id: t.exposeID("id") }) });
  builder.asEntity(Tenant, {
    key: builder.keyDirective(builder.selection<{ id: string }>("id"), false),
    resolveReference: (reference) => reference,
  });
  const StoryRef = builder.objectRef<Story>("Story").implement({
    fields: (t) => ({
      id: t.exposeID("id"),
      tenant: t.field({ type: Tenant, nullable: true, resolve: ({ tenantId }) => ({ id: tenantId }) }),
    }),
  });
  builder.asEntity(StoryRef, {
    key: builder.selection<{ id: string }>("id"),
    resolveReference: ({ id }, context) => ({ id, tenantId: callerOf(context).tenantId }),
  });
  const Event = builder.interfaceRef<EventRecord>("StoryEvent").implement({
    fields: (t) => ({
      cursor: t.field({ type: "Cursor", resolve: ({ stream, seq }) => encodeCursor(stream, seq) }),
      seq: t.exposeInt("seq"),
    }),
    resolveType: ({ type }) => (type === ended.type ? "StoryEnded" : "StoryTold"),
  });
  builder.objectRef<EventRecord<{ text: string }>>("StoryTold").implement({
    interfaces: [Event],
    fields: (t) => ({ text: t.string({ resolve: ({ payload }) => payload.text }) }),
  });
  builder.objectRef<EventRecord<{ moral: string }>>("StoryEnded").implement({
    interfaces: [Event],
    fields: (t) => ({
      moral: t.string({ authScopes: { permission: "audit:read" }, resolve: ({ payload }) => payload.moral }),
      story: t.field({
        type: StoryRef,
        resolve: ({ stream, tenantId }) => ({ id: stream.slice("story:".length), tenantId }),
      }),
    }),
  });
  builder.queryField("story", (t) =>
    t.field({
      type: StoryRef,
      nullable: true,
      authScopes: { permission: "run:read" },
      args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
      resolve: (_root, { id }, context) => {
        world.asked.stories++;
        if (id === "absent") throw errors.STORY_NOT_FOUND({ details: { id } });
        return { id, tenantId: callerOf(context).tenantId };
      },
    }),
  );
  builder.mutationType({
    fields: (t) => ({
      tick: t.int({
        authScopes: { permission: "run:start" },
        args: { number: t.arg.int({ required: true }) },
        resolve: (_root, { number }) => {
          tick(number);
          return number;
        },
      }),
      tellStory: t.boolean({
        authScopes: { permission: "run:start" },
        args: { id: t.arg.id({ required: true }), lines: t.arg.stringList({ required: true }) },
        resolve: async (_root, { id, lines }, context) => {
          await tell(callerOf(context), id, lines);
          return true;
        },
      }),
    }),
  });
  builder.subscriptionType({
    fields: (t) => ({
      storyEvents: t.field({
        type: Event,
        authScopes: { permission: "run:read" },
        args: {
          storyId: t.arg.id({ required: true, validate: { maxLength: 64 } }),
          after: t.arg({ type: "Cursor" }),
          consumer: t.arg.string(),
        },
        subscribe: async (_root, { storyId, ...start }, context) =>
          counted(world, await readStory(storyId, start, callerOf(context), context.signal)),
        resolve: (event) => event,
      }),
      ticks: t.field({
        type: "Int",
        authScopes: { permission: "run:read" },
        subscribe: (_root, _args, { signal }) => counted(world, listenTicks(signal)),
        resolve: (number) => number,
      }),
    }),
  });
  return { name: "stories", schema: toSubgraphSchema(builder), routes: [] };
}

async function readStory(
  storyId: string,
  start: StreamStart,
  caller: Parameters<typeof streamEvents>[0],
  signal: AbortSignal,
): Promise<AsyncGenerator<EventRecord>> {
  if (storyId === "absent") throw errors.STORY_NOT_FOUND();
  const stream = streamOf("story", storyId);
  return streamEvents(caller, stream, {
    after: await startAfter(caller, stream, start),
    signal,
    isLast: ({ type }) => type === ended.type,
  });
}

async function* listenTicks(signal: AbortSignal): AsyncGenerator<number> {
  const numbers: number[] = [];
  let wake = (): void => undefined;
  const leave = await pubsub().subscribe("gateway.tick", (payload) => {
    numbers.push(Number(payload));
    wake();
  });
  signal.addEventListener("abort", () => {
    wake();
  });
  try {
    while (!signal.aborted) {
      const number = numbers.shift();
      if (number === undefined)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      else yield number;
    }
  } finally {
    await leave();
  }
}

async function* counted<T>(world: World, source: AsyncGenerator<T>): AsyncGenerator<T> {
  world.sources.open++;
  world.sources.opened++;
  try {
    yield* source;
  } finally {
    world.sources.open--;
  }
}

function pricesSubgraph(world: World): Subgraph {
  const builder = createBuilder();
  const StoryRef = builder.objectRef<{ id: string }>("Story").implement({
    fields: (t) => ({
      id: t.exposeID("id"),
      price: t.int({
        nullable: true,
        resolve: ({ id }) => {
          world.asked.prices++;
          if (world.broken) throw new Error("the prices are down");
          if (id === "priceless") throw errors.PRICE_UNKNOWN({ details: { id } });
          return id.length;
        },
      }),
      secretPrice: t.int({ nullable: true, authScopes: { permission: "usage:read" }, resolve: () => 42 }),
    }),
  });
  builder.asEntity(StoryRef, {
    key: builder.selection<{ id: string }>("id"),
    resolveReference: (reference) => reference,
  });
  builder.queryField("discount", (t) => t.int({ nullable: true, resolve: () => 5 }));
  return { name: "prices", schema: toSubgraphSchema(builder), routes: [] };
}

export type Deployment = "in process" | "over HTTP";

export interface Served {
  readonly gateway: RunningGateway;
  /** Of the split deployment, each subgraph's server; empty in process. */
  readonly servers: ReadonlyMap<string, RunningServer>;
  close(): Promise<void>;
}

/** Starts a gateway before a world, in one of the two deployments. */
export async function serve(
  world: World,
  deployment: Deployment,
  options: Partial<GatewayOptions> = {},
): Promise<Served> {
  const servers = new Map<string, RunningServer>();
  if (deployment === "over HTTP") {
    for (const subgraph of world.subgraphs)
      servers.set(subgraph.name, await startSubgraphServer(subgraph, { host: "127.0.0.1", port: 0 }));
  }
  const subgraphs = world.subgraphs.map((subgraph) => {
    const server = servers.get(subgraph.name);
    return server ? { name: subgraph.name, url: server.url, routes: subgraph.routes } : subgraph;
  });
  const gateway = await startGateway({
    host: "127.0.0.1",
    port: 0,
    supergraphSdl: world.supergraphSdl,
    subgraphs,
    development: true,
    ...options,
  });
  return {
    gateway,
    servers,
    close: async () => {
      await gateway.close();
      for (const server of servers.values()) await server.close();
    },
  };
}

/** What an answer says of itself, such as its cost, is not what most tests are about. */
function withoutExtensions({
  extensions: _extensions,
  ...result
}: SocketResult & { readonly extensions?: unknown }): SocketResult {
  return result;
}

export interface Answer {
  readonly status: number;
  readonly extensions: Readonly<Record<string, unknown>> | undefined;
  readonly headers: Headers;
  readonly body: {
    readonly data?: Record<string, unknown> | null;
    readonly errors?: readonly {
      readonly message: string;
      readonly path?: readonly (string | number)[];
      readonly extensions: Record<string, unknown>;
    }[];
  };
}

/** Posts an operation. */
export async function post(
  { gateway }: Served,
  token: string | undefined,
  query: string,
  variables: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(gateway.graphqlUrl, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: JSON.stringify({ query, variables }),
  });
  const { extensions, ...body } = (await response.json()) as Answer["body"] & Pick<Answer, "extensions">;
  return { status: response.status, headers: response.headers, extensions, body };
}

export interface TestStream {
  /** A result, the errors that end the operation (`final`), or "complete". */
  next(): Promise<SocketResult | "complete">;
  /** The client's own end. */
  complete(): void;
}

export interface SocketResult {
  readonly data?: unknown;
  readonly errors?: readonly unknown[];
  readonly final?: boolean;
}

interface Message {
  readonly type: string;
  readonly id?: string;
  readonly payload?: unknown;
}

export interface TestSocket {
  send(message: object | string): void;
  /** The next message of a type that belongs to no operation. */
  message(type: string): Promise<Message>;
  subscribe(query: string, variables?: Record<string, unknown>): TestStream;
  /** Settles when the socket is closed, by whichever side. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  close(): Promise<void>;
  /** The socket itself, to be paused or broken. */
  readonly socket: WebSocket;
}

/** A raw socket that speaks the protocol by hand, so that what graphql-ws's client hides can be seen. */
export async function openTestSocket(served: Served, payload?: unknown, origin?: string): Promise<TestSocket> {
  const socket = connectRaw(served, origin);
  await once(socket.socket, "open");
  if (payload === undefined) return socket;
  socket.send({ type: "connection_init", payload });
  await Promise.race([
    socket.message("connection_ack"),
    socket.closed.then(({ code, reason }) => {
      throw new Error(`closed with ${code} ${reason}`);
    }),
  ]);
  return socket;
}

function connectRaw({ gateway }: Served, origin: string | undefined): TestSocket {
  const socket = new WebSocket(gateway.subscriptionsUrl, "graphql-transport-ws", {
    // Compression would hide how much is on its way.
    perMessageDeflate: false,
    ...(origin === undefined ? {} : { origin }),
  });
  const streams = new Map<string, Queue<SocketResult>>();
  const loose = new Map<string, Queue<Message>>();
  const queueOf = (type: string): Queue<Message> => {
    const queue = loose.get(type) ?? openQueue<Message>(() => undefined);
    loose.set(type, queue);
    return queue;
  };
  socket.on("message", (text: Buffer) => {
    const message = JSON.parse(text.toString()) as Message;
    const stream = message.id === undefined ? undefined : streams.get(message.id);
    if (!stream) queueOf(message.type).push(message);
    else if (message.type === "next") stream.push(withoutExtensions(message.payload as SocketResult));
    else if (message.type === "error") {
      stream.push({ errors: message.payload as unknown[], final: true });
      stream.end();
    } else stream.end();
  });
  const closed = new Promise<{ readonly code: number; readonly reason: string }>((resolve) => {
    socket.once("close", (code, reason) => {
      resolve({ code, reason: String(reason) });
    });
  });
  // Who still waits for a message then is told that there is none.
  void closed.then(() => {
    for (const queue of [...loose.values(), ...streams.values()]) queue.end();
  });
  socket.on("error", () => undefined);
  const send = (message: object | string): void => {
    socket.send(typeof message === "string" ? message : JSON.stringify(message));
  };
  return {
    socket,
    send,
    closed,
    message: async (type) => (await queueOf(type).next()).value ?? { type: "nothing" },
    subscribe: (query, variables = {}) => {
      const id = newId();
      const stream = openQueue<SocketResult>(() => undefined);
      streams.set(id, stream);
      send({ id, type: "subscribe", payload: { query, variables } });
      return {
        next: async () => (await stream.next()).value ?? "complete",
        complete: () => {
          send({ id, type: "complete" });
        },
      };
    },
    close: async () => {
      socket.close(1000);
      await closed;
    },
  };
}
