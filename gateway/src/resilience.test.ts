import { acknowledgeEvents } from "@sba/platform/consumers";
import { newId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { startSubgraphServer } from "@sba/platform/server";
import { eventually } from "@sba/testkit/eventually";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { beforeAll, describe, expect, test } from "vitest";
import { openTestSocket, serve, type Deployment } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

/** What happens to streams when something is slow, or gone for a while. */

useDatabase();

let world: World;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
});

const STORY = `subscription($id: ID!, $after: Cursor) { storyEvents(storyId: $id, after: $after) { seq ... on StoryTold { text } } }`;
const seqOf = (result: unknown): unknown =>
  (result as { data?: { storyEvents?: { seq?: number } } }).data?.storyEvents?.seq;

describe.each<Deployment>(["in process", "over HTTP"])("with its subgraphs %s", (deployment) => {
  test("a reader that stops reading holds nobody up, and is given every event when it reads again", async () => {
    const served = await serve(world, deployment, { fanOut: { maxQueuedBytes: 1024 * 1024 } });
    const member = world.join(["run:read"]);
    const authorization = `Bearer ${await member.token()}`;
    const storyId = newId();
    const { opened } = world.sources;
    const [slow, quick] = [
      await openTestSocket(served, { authorization }),
      await openTestSocket(served, { authorization }),
    ];
    const streams = [slow.subscribe(STORY, { id: storyId }), quick.subscribe(STORY, { id: storyId })] as const;
    await tell(member, storyId, ["first"]);
    for (const stream of streams) expect(seqOf(await stream.next())).toBe(1);
    slow.socket.pause();
    // Large enough that the operating system's buffers do not hide the pause.
    const text = "x".repeat(256 * 1024);
    for (let seq = 2; seq <= 60; seq++) {
      await tell(member, storyId, [text]);
      expect(seqOf(await streams[1].next())).toBe(seq);
    }
    slow.socket.resume();
    for (let seq = 2; seq <= 60; seq++) expect(seqOf(await streams[0].next())).toBe(seq);
    // It was given them by a source of its own: the shared one had gone on.
    expect(world.sources.opened - opened).toBeGreaterThan(1);
    await Promise.all([slow.close(), quick.close()]);
    await served.close();
  });
});

test("a stream outlives the restart of its subgraph, without a gap or a repeat", async () => {
  const served = await serve(world, "over HTTP");
  const member = world.join(["run:read"]);
  const [storyId, socket] = [
    newId(),
    await openTestSocket(served, { authorization: `Bearer ${await member.token()}` }),
  ];
  const stream = socket.subscribe(STORY, { id: storyId });
  await tell(member, storyId, ["before"]);
  expect(seqOf(await stream.next())).toBe(1);
  const stories = served.servers.get("stories");
  const port = Number(new URL(stories?.url ?? "").port);
  await stories?.close();
  await tell(member, storyId, ["while it was away"]);
  const subgraph = world.subgraphs.find(({ name }) => name === "stories")!;
  const restarted = await startSubgraphServer(subgraph, { host: "127.0.0.1", port });
  expect(seqOf(await stream.next())).toBe(2);
  await tell(member, storyId, ["after"]);
  expect(seqOf(await stream.next())).toBe(3);
  await socket.close();
  await served.close();
  await restarted.close();
});

test("a stream whose subgraph stays away ends with a typed error, and the socket goes on", async () => {
  const served = await serve(world, "over HTTP", { fanOut: { resumeDelaysMs: [1, 1] } });
  const member = world.join(["run:read"]);
  const [storyId, socket] = [
    newId(),
    await openTestSocket(served, { authorization: `Bearer ${await member.token()}` }),
  ];
  const stream = socket.subscribe(STORY, { id: storyId });
  await tell(member, storyId, ["before"]);
  await stream.next();
  await served.servers.get("stories")?.close();
  expect(await stream.next()).toMatchObject({
    final: true,
    errors: [{ extensions: { code: "UNAVAILABLE", reason: "SUBSCRIPTION_LOST", retryable: true } }],
  });
  expect(await socket.subscribe("{ whoAmI }").next()).toEqual({ data: { whoAmI: member.principalId } });
  await socket.close();
  await served.close();
});

test("readers that resume from different places end up on one source", async () => {
  const served = await serve(world, "in process");
  const member = world.join(["run:read"]);
  const authorization = `Bearer ${await member.token()}`;
  const storyId = newId();
  await tell(member, storyId, ["1", "2", "3", "4"]);
  const cursors = await (async () => {
    const socket = await openTestSocket(served, { authorization });
    const stream = socket.subscribe(`subscription { storyEvents(storyId: "${storyId}") { cursor } }`);
    const found: string[] = [];
    while (found.length < 3)
      found.push(((await stream.next()) as { data: { storyEvents: { cursor: string } } }).data.storyEvents.cursor);
    await socket.close();
    return found;
  })();
  await eventually(() => world.sources.open === 0);
  const sockets = await Promise.all(
    [null, ...cursors].map(async (after) => {
      const socket = await openTestSocket(served, { authorization });
      return { socket, stream: socket.subscribe(STORY, { id: storyId, after }) };
    }),
  );
  for (const [index, { stream }] of sockets.entries())
    for (let seq = index + 1; seq <= 4; seq++) expect(seqOf(await stream.next())).toBe(seq);
  await tell(member, storyId, ["5"]);
  for (const { stream } of sockets) expect(seqOf(await stream.next())).toBe(5);
  await eventually(() => world.sources.open === 1);
  expect(served.gateway.load()).toEqual({ sockets: 4, eventStreams: 0, upstreams: 1 });
  await Promise.all(sockets.map(({ socket }) => socket.close()));
  await served.close();
});

test("a consumer goes on after what it has acknowledged, on any gateway, and one that has not begins at the beginning", async () => {
  const [first, second] = [await serve(world, "in process"), await serve(world, "in process")];
  const member = world.join(["run:read"]);
  const authorization = `Bearer ${await member.token()}`;
  const storyId = newId();
  await tell(member, storyId, ["1", "2", "3"]);
  const query = `subscription($id: ID!, $consumer: String) { storyEvents(storyId: $id, consumer: $consumer) { seq cursor } }`;
  const read = async (served: typeof first, consumer: string) => {
    const socket = await openTestSocket(served, { authorization });
    return { socket, stream: socket.subscribe(query, { id: storyId, consumer }) };
  };
  const mailer = await read(first, "mailer");
  await mailer.stream.next();
  const { data } = (await mailer.stream.next()) as { data: { storyEvents: { cursor: string } } };
  const caller = aCaller({ tenantId: member.tenantId, principalId: member.principalId });
  await acknowledgeEvents(caller, { consumer: "mailer", cursor: data.storyEvents.cursor });
  // While its first stream is still open there: what it shares is the future, not the start.
  const [again, elsewhere, another] = [
    await read(first, "mailer"),
    await read(second, "mailer"),
    await read(first, "another"),
  ];
  expect([await again.stream.next(), await elsewhere.stream.next(), await another.stream.next()].map(seqOf)).toEqual([
    3, 3, 1,
  ]);
  await tell(member, storyId, ["4"]);
  expect([await again.stream.next(), await elsewhere.stream.next()].map(seqOf)).toEqual([4, 4]);
  await Promise.all([mailer, again, elsewhere, another].map(({ socket }) => socket.close()));
  await Promise.all([first.close(), second.close()]);
});
