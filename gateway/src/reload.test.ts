import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { startSubgraphServer } from "@sba/platform/server";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { followSupergraph } from "./supergraph-file.ts";
import { openTestSocket, post, serve, type TestStream } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

/** A gateway that is given another supergraph while it streams. */

useDatabase();

let world: World;
let folder: string;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sba-supergraph-"));
});
afterEach(() => rm(folder, { recursive: true }));

const STORY = `subscription($id: ID!, $after: Cursor) { storyEvents(storyId: $id, after: $after) { seq ... on StoryTold { text } ... on StoryEnded { story { price } } } }`;
const SECRET = `subscription($id: ID!) { storyEvents(storyId: $id) { seq ... on StoryEnded { story { secretPrice } } } }`;
const SECRET_FIELD = /\n {2}secretPrice: Int @join__field\(graph: PRICES\)[^\n]*/;

/** The world's supergraph in a later version: with a field more, and without another. */
function version(number: number, { withSecret = true } = {}): string {
  const field = `\n  priceOfVersion${number}: Int @join__field(graph: PRICES)\n}`;
  const sdl = world.supergraphSdl.replace(/(type Story\b[^}]*)\n}/, (_all, start: string) => `${start}${field}`);
  expect(sdl).toMatch(SECRET_FIELD);
  return withSecret ? sdl : sdl.replace(SECRET_FIELD, "");
}

const seqOf = (result: unknown): unknown =>
  (result as { data?: { storyEvents?: { seq?: number } } }).data?.storyEvents?.seq;

describe("a rolling deployment", () => {
  test("of twenty versions under load gives every stream every event; one that no longer validates is told so", async () => {
    const served = await serve(world, "over HTTP");
    const file = join(folder, "supergraph.graphql");
    await writeFile(file, world.supergraphSdl);
    const stopFollowing = followSupergraph(file, served.gateway.reload);
    const member = world.join(["run:read", "usage:read"]);
    const token = await member.token();
    const storyId = newId();
    const sockets = await Promise.all(
      Array.from({ length: 4 }, () => openTestSocket(served, { authorization: `Bearer ${token}` })),
    );
    const streams = sockets.map((socket) => socket.subscribe(STORY, { id: storyId }));
    const doomed = sockets[0]!.subscribe(SECRET, { id: storyId });
    let told = 0;
    let deploying = true;
    const load = (async () => {
      while (deploying) {
        await tell(member, storyId, [`line ${++told}`]);
        const { body } = await post(served, token, `{ story(id: "x") { id price } }`);
        expect(body).toEqual({ data: { story: { id: "x", price: 1 } } });
      }
    })();
    for (let number = 1; number <= 20; number++) {
      // As a deployment does it: another file in the place of the one before.
      await writeFile(join(folder, "next"), version(number, { withSecret: number < 10 }));
      await rename(join(folder, "next"), file);
      const probe = `{ story(id: "x") { priceOfVersion${number} } }`;
      await eventually(async () => expect((await post(served, token, probe)).status).toBe(200));
    }
    deploying = false;
    await load;
    await tell(member, storyId, [], "the end");
    for (const stream of streams) {
      for (let seq = 1; seq <= told + 1; seq++) expect(seqOf(await stream.next())).toBe(seq);
      expect(await stream.next()).toBe("complete");
    }
    expect(await lastOf(doomed)).toMatchObject({
      errors: [
        {
          extensions: {
            code: "CONFLICT",
            reason: "SUBSCRIPTION_OUTDATED",
            details: { problems: [expect.stringContaining("secretPrice")] },
          },
        },
      ],
    });
    await Promise.all(sockets.map((socket) => socket.close()));
    stopFollowing();
    await served.close();
  });
});

async function lastOf(stream: TestStream): Promise<unknown> {
  for (let expected = 1; ; expected++) {
    const result = await stream.next();
    if (result === "complete" || result.final) return result;
    expect(seqOf(result)).toBe(expected);
  }
}

test("a supergraph that is not valid, or names a subgraph that is not there, changes nothing", async () => {
  const served = await serve(world, "in process");
  const socket = await openTestSocket(served, { authorization: `Bearer ${await world.join(["run:read"]).token()}` });
  const foreign = world.supergraphSdl.replaceAll("PRICES", "OTHERS").replace('name: "prices"', 'name: "others"');
  await expect(served.gateway.reload("type Query { a: Int }")).rejects.toThrow();
  await expect(served.gateway.reload(foreign)).rejects.toThrow("not given: others");
  expect(await socket.subscribe(`{ story(id: "x") { price } }`).next()).toEqual({ data: { story: { price: 1 } } });
  await socket.close();
  await served.close();
});

test("a subgraph that has moved is followed, and streams go on from their cursors", async () => {
  const served = await serve(world, "over HTTP");
  const member = world.join(["run:read"]);
  const storyId = newId();
  const socket = await openTestSocket(served, { authorization: `Bearer ${await member.token()}` });
  const stream = socket.subscribe(STORY, { id: storyId });
  await tell(member, storyId, ["before"]);
  expect(seqOf(await stream.next())).toBe(1);
  const stories = world.subgraphs.find(({ name }) => name === "stories")!;
  const moved = await startSubgraphServer(stories, { host: "127.0.0.1", port: 0 });
  const places = world.subgraphs.map(({ name, routes }) => ({
    name,
    routes,
    url: name === "stories" ? moved.url : (served.servers.get(name)?.url ?? ""),
  }));
  await served.gateway.reload(version(1), places);
  await served.servers.get("stories")?.close();
  await tell(member, storyId, ["after"]);
  expect(seqOf(await stream.next())).toBe(2);
  await socket.close();
  await served.close();
  await moved.close();
});

test("the file is read again when it is replaced and on SIGHUP, and one that is refused does not end that", async () => {
  const file = join(folder, "supergraph.graphql");
  await writeFile(file, "first");
  const taken: string[] = [];
  const stop = followSupergraph(file, (sdl) => {
    taken.push(sdl);
    return sdl === "second" ? Promise.reject(new Error("not valid")) : Promise.resolve();
  });
  process.emit("SIGHUP");
  await eventually(() => expect(taken).toEqual(["first"]));
  for (const text of ["second", "third"]) {
    await writeFile(join(folder, "next"), text);
    await rename(join(folder, "next"), file);
    await eventually(() => expect(taken.at(-1)).toBe(text));
  }
  stop();
  process.emit("SIGHUP");
  await new Promise((resolve) => setImmediate(resolve));
  expect(taken).toEqual(["first", "second", "third"]);
});
