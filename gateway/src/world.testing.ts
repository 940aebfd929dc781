import { composeServices } from "@apollo/composition";
import { printSubgraphSchema } from "@apollo/subgraph";
import type { TenantScope } from "@sba/platform/caller";
import { startAfter, type StreamStart } from "@sba/platform/consumers";
import { withTenant } from "@sba/platform/db";
import { defineErrors } from "@sba/platform/errors";
import { appendEvents, defineEvent, encodeCursor, streamOf, type EventRecord } from "@sba/platform/events";
import { streamEvents } from "@sba/platform/follow";
import { callerOf, createBuilder, toSubgraphSchema } from "@sba/platform/graphql";
import type { Permission } from "@sba/platform/permissions";
import { pubsub } from "@sba/platform/pubsub";
import type { Subgraph } from "@sba/platform/server";
import { aCaller } from "@sba/testkit/fixtures";
import { parse } from "graphql";
import { z } from "zod";
import {
  announce,
  identitySubgraph,
  join,
  makeKeys,
  setPermissions,
  type IdentityState,
  type Member,
} from "./identity.testing.ts";

/**
 * A small federated world for the gateway's tests: an identity that knows the principals it was told, a story domain
 * whose events are the real journal, and a prices domain that adds fields to the stories' entities.
 */

const errors = defineErrors("gateway.testing", {
  STORY_NOT_FOUND: { kind: "not_found", message: "There is no such story." },
  PRICE_UNKNOWN: { kind: "conflict", message: "Nobody knows this price." },
});

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
  /** Called before a mutation ticks. */
  beforeTick: () => Promise<void>;
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
    beforeTick: () => Promise.resolve(),
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

function compose(subgraphs: readonly Subgraph[]): string {
  const composed = composeServices(
    subgraphs.map(({ name, schema }) => ({ name, url: "", typeDefs: parse(printSubgraphSchema(schema)) })),
  );
  if (composed.errors) throw new Error(composed.errors.map(String).join("\n"));
  return composed.supergraphSdl;
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
  const Kind = builder.enumType("TaleKind", { values: ["TALL_TALE", "FABLE"] as const });
  builder.queryField("taleOf", (t) =>
    t.string({
      args: { kind: t.arg({ type: Kind }) },
      resolve: (_root, { kind }) => `a ${kind ?? "tale"}`,
    }),
  );
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
        resolve: async (_root, { number }) => {
          await world.beforeTick();
          tick(number);
          return number;
        },
      }),
      // For strangers, as signing in is.
      knock: t.boolean({ resolve: () => true }),
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
      tales: t.field({
        type: "Int",
        authScopes: { permission: "run:read" },
        args: { kind: t.arg({ type: Kind, required: true }) },
        subscribe: (_root, _args, { signal }) => counted(world, listenTicks(signal)),
        resolve: (number) => number,
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
