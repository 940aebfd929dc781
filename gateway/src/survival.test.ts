import { newId } from "@sba/platform/ids";
import { usePubSub } from "@sba/platform/pubsub";
import { openRedisPubSub } from "@sba/platform/pubsub-redis";
import { useSecretKey } from "@sba/platform/secrets";
import { startRedisServer, type RedisServer } from "@sba/testkit/redis-server";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Member } from "./identity.testing.ts";
import { openTestSocket, serve, type Served } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

/** Streams when the database or Redis is lost, on a real one of each. */

const database = useDatabase({ pubsub: false });

let redis: RedisServer;
let world: World;
let served: Served;
let member: Member;
let close: () => Promise<void>;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  redis = await startRedisServer();
  const pubsub = await openRedisPubSub(redis.url);
  usePubSub(pubsub);
  world = await createWorld();
  served = await serve(world, "in process");
  member = world.join(["run:read"]);
  close = async () => {
    await served.close();
    usePubSub(undefined);
    await pubsub.close();
    await redis.stop();
  };
});
afterAll(() => close());

const STORY = `subscription($id: ID!) { storyEvents(storyId: $id) { seq } }`;
const seqOf = (result: unknown): unknown =>
  (result as { data?: { storyEvents?: { seq?: number } } }).data?.storyEvents?.seq;

async function open(storyId: string) {
  const socket = await openTestSocket(served, { authorization: `Bearer ${await member.token()}` });
  return { socket, stream: socket.subscribe(STORY, { id: storyId }) };
}

test("a stream outlives every connection to the database, and misses nothing", async () => {
  const storyId = newId();
  const { socket, stream } = await open(storyId);
  await tell(member, storyId, ["before"]);
  expect(seqOf(await stream.next())).toBe(1);
  for (let seq = 2; seq <= 4; seq++) {
    await database().owner.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await expect
      .poll(() =>
        tell(member, storyId, ["after"]).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    expect(seqOf(await stream.next())).toBe(seq);
  }
  await socket.close();
});

test("a stream goes on while Redis is away, and after it is back", async () => {
  const storyId = newId();
  const { socket, stream } = await open(storyId);
  await tell(member, storyId, ["before"]);
  expect(seqOf(await stream.next())).toBe(1);
  await redis.kill();
  await tell(member, storyId, ["nobody can say so"]);
  expect(seqOf(await stream.next())).toBe(2);
  redis = await startRedisServer({ port: redis.port });
  await tell(member, storyId, ["again"]);
  expect(seqOf(await stream.next())).toBe(3);
  await socket.close();
});

test("a reader goes on after its cursor on another gateway when its own is gone without a word", async () => {
  const storyId = newId();
  const other = await serve(world, "in process");
  const authorization = `Bearer ${await member.token()}`;
  const query = `subscription($id: ID!, $after: Cursor) { storyEvents(storyId: $id, after: $after) { seq cursor } }`;
  const socket = await openTestSocket(served, { authorization });
  const stream = socket.subscribe(query, { id: storyId });
  await tell(member, storyId, ["one", "two"]);
  await stream.next();
  const { data } = (await stream.next()) as { data: { storyEvents: { cursor: string } } };
  socket.socket.terminate();
  await tell(member, storyId, ["three"]);
  const again = await openTestSocket(other, { authorization });
  const resumed = again.subscribe(query, { id: storyId, after: data.storyEvents.cursor });
  expect(seqOf(await resumed.next())).toBe(3);
  await again.close();
  await other.close();
});
