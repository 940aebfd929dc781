import { newId } from "@sba/platform/ids";
import { openPubSub, usePubSub, type PubSub } from "@sba/platform/pubsub";
import { openRateLimiter, type RateLimiter } from "@sba/platform/rate-limit";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Member } from "./identity.testing.ts";
import { openTestSocket, post, serve, type Served, type SocketResult, type TestSocket } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

/**
 * What is taken away is no longer shown, on any gateway, and nobody else notices: real sockets at two gateways, whose only
 * common knowledge is what pub/sub tells them.
 */

const database = useDatabase({ pubsub: false });
const redis = useRedis();

const STORY = `subscription($id: ID!, $after: Cursor) { storyEvents(storyId: $id, after: $after) { seq ... on StoryTold { text } } }`;
const PRICED = `subscription($id: ID!) { storyEvents(storyId: $id) { seq ... on StoryEnded { story { id price secretPrice } } } }`;

/** The promise to users: the last frame that shows what was taken away leaves within a second. */
const BOUND_MS = 1_000;

interface Seen {
  readonly frame: SocketResult | "complete";
  readonly atMs: number;
}

/** A subscription whose every frame is kept. */
interface Watch {
  readonly seen: Seen[];
  readonly socket: TestSocket;
  /** Settles with the last frame, which ends it. */
  readonly ended: Promise<SocketResult | "complete">;
}

interface Event {
  readonly data: { readonly storyEvents: { readonly seq: number } };
}

const seqsOf = ({ seen }: Watch): number[] =>
  seen.flatMap(({ frame }) => (typeof frame === "object" && frame.data ? [(frame as Event).data.storyEvents.seq] : []));

function watch(socket: TestSocket, query: string, id: string): Watch {
  const seen: Seen[] = [];
  const stream = socket.subscribe(query, { id });
  const follow = async (): Promise<SocketResult | "complete"> => {
    for (;;) {
      const frame = await stream.next();
      seen.push({ frame, atMs: performance.now() });
      if (frame === "complete" || frame.final) return frame;
    }
  };
  return { seen, socket, ended: follow() };
}

describe.each([
  { backend: "Postgres", redisUrl: () => undefined },
  { backend: "Redis", redisUrl: () => redis().url },
])("a revocation, told by $backend", ({ redisUrl }) => {
  let pubsub: PubSub;
  let world: World;
  let gateways: readonly [Served, Served];

  beforeAll(async () => {
    useSecretKey("a-secret-key-that-only-tests-know");
    pubsub = await openPubSub({ databaseUrl: database().urls.app, redisUrl: redisUrl() });
    usePubSub(pubsub);
    world = await createWorld();
    gateways = [await serve(world, "in process"), await serve(world, "in process")];
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.close();
    usePubSub(undefined);
    await pubsub.close();
  });

  const open = async (member: Member, at: 0 | 1 = 0, claims: object = {}) =>
    openTestSocket(gateways[at], { authorization: `Bearer ${member.apiKey ?? (await member.token({ ...claims }))}` });

  /** How rights end, and what the stream and the socket are then told. */
  const ENDINGS: readonly {
    readonly take: (member: Member, sessionId: string) => void;
    readonly apiKey?: boolean;
    readonly reason: string;
    readonly closes: boolean;
  }[] = [
    { take: (member) => world.setPermissions(member, ["usage:read"]), reason: "PERMISSION_MISSING", closes: false },
    { take: (member) => world.setPermissions(member, []), reason: "PERMISSION_MISSING", closes: false },
    { take: (member) => world.setPermissions(member, undefined), reason: "CREDENTIALS_INVALID", closes: true },
    { take: (member, sessionId) => world.endSession(member, sessionId), reason: "CREDENTIALS_INVALID", closes: true },
    {
      take: (member) => world.setPermissions(member, undefined),
      apiKey: true,
      reason: "CREDENTIALS_INVALID",
      closes: true,
    },
  ];
  const REVOCATIONS = 60;

  test("ends what it forbids within a second, and others see every event, of the same source", async () => {
    const tenantId = newId();
    const storyId = newId();
    const victims = await Promise.all(
      Array.from({ length: REVOCATIONS }, async (_, index) => {
        const ending = ENDINGS[index % ENDINGS.length]!;
        const member = world.join(["run:read"], { tenantId, apiKey: ending.apiKey ?? false });
        const sid = newId();
        const at = index % 2 === 0 ? 0 : 1;
        // Whoever signs out in one place stays signed in in another: both are one audience, and share the source.
        const twin = ending.take === ENDINGS[3]!.take ? await open(member, at, { sid: newId() }) : undefined;
        const watched = watch(await open(member, at, { sid }), STORY, storyId);
        return { ...ending, member, sid, watched, twin: twin && watch(twin, STORY, storyId) };
      }),
    );
    const bystanders = await Promise.all(
      ([0, 1] as const).map(async (at) =>
        watch(await open(world.join(["run:read"], { tenantId }), at), STORY, storyId),
      ),
    );
    const others = [...bystanders, ...victims.flatMap(({ twin }) => twin ?? [])];
    let last = 0;
    let telling = true;
    const teller = (async () => {
      while (telling) {
        await tell({ tenantId }, storyId, [`line ${last + 1}`]);
        last++;
      }
    })();
    await eventually(() => [...victims.map(({ watched }) => watched), ...others].every(({ seen }) => seen.length > 0));
    const { opened } = world.sources;

    const exposuresMs: number[] = [];
    for (const { take, member, sid, watched, reason, closes } of victims) {
      const revokedAtMs = performance.now();
      take(member, sid);
      const end = await watched.ended;
      expect(end).toMatchObject({ final: true, errors: [{ extensions: { reason } }] });
      if (closes) expect(await watched.socket.closed).toMatchObject({ code: 4401 });
      const shown = watched.seen.findLast(({ frame }) => typeof frame === "object" && frame.data);
      exposuresMs.push(Math.max(0, (shown?.atMs ?? 0) - revokedAtMs));
    }
    exposuresMs.sort((a, b) => a - b);
    expect(exposuresMs[Math.ceil(exposuresMs.length * 0.99) - 1], JSON.stringify(exposuresMs)).toBeLessThan(BOUND_MS);

    telling = false;
    await teller;
    await eventually(() => others.every((other) => seqsOf(other).at(-1) === last), { timeoutMs: 20_000 });
    const all = Array.from({ length: last }, (_, index) => index + 1);
    for (const other of others) expect(seqsOf(other)).toEqual(all);
    expect(world.sources.opened).toBe(opened);
    // Nothing comes after the end.
    for (const { watched } of victims) expect(watched.seen.filter(({ frame }) => frame === "complete")).toEqual([]);
    await Promise.all([...others, ...victims.map(({ watched }) => watched)].map(({ socket }) => socket.close()));
  });

  test("of a field leaves the stream, and the field is null with a typed error from then on", async () => {
    const member = world.join(["run:read", "usage:read"]);
    const colleague = world.join(["run:read", "usage:read"], { tenantId: member.tenantId });
    const storyId = newId();
    const [losing, keeping] = [
      watch(await open(member), PRICED, storyId),
      watch(await open(colleague), PRICED, storyId),
    ];
    await tell(member, storyId, ["one"]);
    await eventually(() => losing.seen.length === 1 && keeping.seen.length === 1);
    const { opened } = world.sources;
    world.setPermissions(member, ["run:read"]);
    // The stream goes on from its cursor with another source: by then the new rights hold.
    await eventually(() => world.sources.opened === opened + 1);
    await tell(member, storyId, [], "the end");
    expect([await losing.ended, await keeping.ended]).toEqual(["complete", "complete"]);
    expect(losing.seen.map(({ frame }) => frame)).toMatchObject([
      { data: { storyEvents: { seq: 1 } } },
      {
        data: { storyEvents: { seq: 2, story: { id: storyId, price: storyId.length, secretPrice: null } } },
        errors: [
          {
            path: ["storyEvents", "story", "secretPrice"],
            extensions: { code: "FORBIDDEN", reason: "PERMISSION_MISSING" },
          },
        ],
      },
      "complete",
    ]);
    expect(keeping.seen.map(({ frame }) => frame)).toEqual([
      { data: { storyEvents: { seq: 1 } } },
      { data: { storyEvents: { seq: 2, story: { id: storyId, price: storyId.length, secretPrice: 42 } } } },
      "complete",
    ]);
    await Promise.all([losing, keeping].map(({ socket }) => socket.close()));
  });

  test("is heard by every gateway, long before it would forget by itself", async () => {
    const member = world.join(["run:read"]);
    const token = await member.token();
    const ask = (at: 0 | 1) => post(gateways[at], token, `{ whoAmI }`);
    for (const at of [0, 1] as const) expect(await ask(at)).toMatchObject({ status: 200 });
    world.setPermissions(member, undefined);
    for (const at of [0, 1] as const)
      await eventually(async () => (await ask(at)).status === 401, { timeoutMs: 3_000 });
  });

  test("of a tenant ends its streams with the reason and leaves its sockets, which go on when it is resumed", async () => {
    const [member, stranger] = [world.join(["run:read"]), world.join(["run:read"])];
    const storyId = newId();
    const sockets = [await open(member, 0), await open(member, 1)];
    const watches = sockets.map((socket) => watch(socket, STORY, storyId));
    const theirs = watch(await open(stranger), STORY, storyId);
    await tell(member, storyId, ["one"]);
    await eventually(() => watches.every(({ seen }) => seen.length === 1));
    world.setSuspended(member, true);
    for (const { ended } of watches)
      expect(await ended).toMatchObject({
        final: true,
        errors: [{ extensions: { code: "FORBIDDEN", reason: "TENANT_SUSPENDED" } }],
      });
    expect(await sockets[0]!.subscribe(STORY, { id: storyId }).next()).toMatchObject({
      errors: [{ extensions: { reason: "TENANT_SUSPENDED" } }],
    });
    expect((await post(gateways[1], await member.token(), `{ story(id: "x") { id } }`)).body).toMatchObject({
      errors: [{ extensions: { reason: "TENANT_SUSPENDED" } }],
    });
    expect(theirs.seen).toEqual([]);
    world.setSuspended(member, false);
    await eventually(async () => {
      const answers = await Promise.all(sockets.map((socket) => socket.subscribe(STORY, { id: storyId }).next()));
      return answers.every((answer) => typeof answer === "object" && answer.data);
    });
    await Promise.all([...sockets, theirs.socket].map((socket) => socket.close()));
  });
});

test("one that nobody has heard ends streams and sockets all the same, at the next look", async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  const pubsub = await openPubSub({ databaseUrl: database().urls.app });
  usePubSub(pubsub);
  const world = await createWorld();
  const served = await serve(world, "in process", { unheard: { rememberedMs: 10, recheckMs: 20 } });
  const [demoted, removed, bystander] = [1, 2, 3].map(() => world.join(["run:read"]));
  const watches = await Promise.all(
    [demoted!, removed!, bystander!].map(async (member) => {
      const socket = await openTestSocket(served, { authorization: `Bearer ${await member.token()}` });
      return watch(socket, STORY, newId());
    }),
  );
  await eventually(() => expect(world.sources.open).toBe(3));
  world.setPermissions(demoted!, [], "untold");
  world.setPermissions(removed!, undefined, "untold");
  expect(await watches[0]?.ended).toMatchObject({ errors: [{ extensions: { reason: "PERMISSION_MISSING" } }] });
  expect(await watches[1]?.ended).toMatchObject({ errors: [{ extensions: { reason: "CREDENTIALS_INVALID" } }] });
  expect(await watches[1]?.socket.closed).toMatchObject({ code: 4401 });
  expect(watches[2]?.seen).toEqual([]);
  await eventually(() => expect(world.sources).toEqual({ open: 1, opened: 3 }));
  for (const { socket } of [watches[0]!, watches[2]!]) await socket.close();
  await served.close();
  usePubSub(undefined);
  await pubsub.close();
});

test("what is revoked while somebody is let in is not theirs: nobody would tell again", async () => {
  const world = await createWorld();
  const limiter = await openRateLimiter({});
  const counting = Promise.withResolvers<void>();
  const counted = Promise.withResolvers<void>();
  const slow: RateLimiter = {
    ...limiter,
    take: async (asks) => {
      if (asks.some(({ limit }) => limit.name === "connect")) {
        counting.resolve();
        await counted.promise;
      }
      return limiter.take(asks);
    },
  };
  const pubsub = await openPubSub({ databaseUrl: database().urls.app, redisUrl: redis().url });
  usePubSub(pubsub);
  // The time when all are asked again would hide it.
  const served = await serve(world, "in process", { rateLimiter: slow, unheard: { recheckMs: 600_000 } });
  const member = world.join(["run:read"]);
  const socket = await openTestSocket(served);
  socket.send({ type: "connection_init", payload: { authorization: `Bearer ${await member.token()}` } });
  await counting.promise;
  world.setPermissions(member, undefined);
  // Heard of, as a request shows.
  await eventually(async () => (await post(served, await member.token(), "{ whoAmI }")).status === 401);
  counted.resolve();
  expect(await socket.closed).toMatchObject({ code: 4401 });
  await served.close();
  usePubSub(undefined);
  await pubsub.close();
});
