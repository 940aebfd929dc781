import { newId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PolicyEvaluator } from "./policies.ts";
import { openTestSocket, post, serve, type Deployment, type Served } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

useDatabase();

describe.each<Deployment>(["in process", "over HTTP"])("a gateway with its subgraphs %s", (deployment) => {
  let world: World;
  let served: Served;
  beforeAll(async () => {
    useSecretKey("a-secret-key-that-only-tests-know");
    world = await createWorld();
    served = await serve(world, deployment);
  });
  afterAll(() => served.close());

  test("joins one query from three subgraphs", async () => {
    const member = world.join(["run:read"]);
    const { status, body } = await post(
      served,
      await member.token(),
      `query($id: ID!) { story(id: $id) { id price tenant { id name } } whoAmI }`,
      { id: "moby" },
    );
    expect(body).toEqual({
      data: {
        story: { id: "moby", price: 4, tenant: { id: member.tenantId, name: `tenant ${member.tenantId}` } },
        whoAmI: member.principalId,
      },
    });
    expect(status).toBe(200);
  });

  test("answers an open field without credentials", async () => {
    const { body } = await post(served, undefined, `{ greeting(name: "you") }`);
    expect(body).toEqual({ data: { greeting: "Hello, you" } });
  });

  test("keeps the rest of a result and says which path failed, as the subgraph said it", async () => {
    const token = await world.join(["run:read"]).token();
    const { status, body } = await post(
      served,
      token,
      `{ a: story(id: "priceless") { id price } b: story(id: "ok") { price } }`,
    );
    expect(status).toBe(200);
    expect(body.data).toEqual({ a: { id: "priceless", price: null }, b: { price: 2 } });
    expect(body.errors).toEqual([
      {
        message: "Nobody knows this price.",
        path: ["a", "price"],
        extensions: {
          code: "CONFLICT",
          reason: "PRICE_UNKNOWN",
          retryable: false,
          requestId: expect.any(String),
          details: { id: "priceless" },
        },
      },
    ]);
  });

  test("masks what went wrong inside, and gives the id under which it is logged", async () => {
    const { headers, body } = await post(served, undefined, `{ crash }`, {}, { "x-request-id": "a-request-of-mine" });
    expect(body.errors).toEqual([
      {
        message: "Something went wrong on our side.",
        path: ["crash"],
        extensions: {
          code: "INTERNAL_SERVER_ERROR",
          reason: "INTERNAL",
          retryable: true,
          requestId: "a-request-of-mine",
        },
      },
    ]);
    expect(JSON.stringify(body)).not.toContain("hunter2");
    expect(headers.get("x-request-id")).toBe("a-request-of-mine");
  });

  test("refuses to run an operation of which the caller may not see one field, before anything is fetched", async () => {
    const token = await world.join(["run:read"]).token();
    const before = { ...world.asked };
    const { status, body } = await post(served, token, `{ story(id: "x") { price secretPrice } }`);
    expect(status).toBe(403);
    expect(body.errors?.[0]).toMatchObject({
      message: "The permission usage:read is missing.",
      extensions: {
        code: "FORBIDDEN",
        reason: "PERMISSION_MISSING",
        details: { permissions: ["usage:read"], coordinates: ["Story.secretPrice"] },
      },
    });
    expect(world.asked).toEqual(before);
  });

  test("hides what is for the gateway alone", async () => {
    const { body } = await post(
      served,
      undefined,
      `{ principalGrants(tenantId: "a", principalId: "b") { permissions } }`,
    );
    expect(body.errors?.[0]?.extensions).toMatchObject({ code: "GRAPHQL_VALIDATION_FAILED" });
  });

  test("carries a domain's route, its body streamed, and knows the caller where the route wants one", async () => {
    const put = await fetch(`${served.gateway.url}/echo/some%20name`, {
      method: "PUT",
      body: "a body",
      headers: { "content-type": "application/octet-stream" },
    });
    expect([put.status, await put.text(), put.headers.get("content-type")]).toEqual([
      201,
      "some name: a body",
      "text/plain",
    ]);
    const member = world.join([]);
    const mine = await fetch(`${served.gateway.url}/mine`, {
      headers: { authorization: `Bearer ${await member.token()}` },
    });
    expect([mine.status, await mine.text()]).toEqual([200, member.principalId]);
    expect((await fetch(`${served.gateway.url}/mine`)).status).toBe(401);
  });

  test("answers for the health of all its parts", async () => {
    expect((await fetch(`${served.gateway.url}/livez`)).status).toBe(200);
    expect((await fetch(`${served.gateway.url}/readyz`)).status).toBe(200);
  });
});

describe("a supergraph with policies", () => {
  const STORY = `subscription($id: ID!) { storyEvents(storyId: $id) { seq ... on StoryEnded { story { price } } } }`;
  let world: World;
  let served: Served;
  /** Whom each policy holds for; who asks for `slow` is never answered. */
  const holding = new Map<string, string>();
  const policies: PolicyEvaluator = ({ principalId }, asked) => {
    if (holding.get("slow") === principalId) return Promise.reject(new Error("the evaluator is down"));
    return [...asked, "beyond"].filter((policy) => holding.get(policy) === principalId);
  };
  /** As composition prints it for `price: Int @policy(...)` in the prices domain. */
  const withPolicies = (sdl: string): string =>
    sdl
      .replace("\n{\n  query:", '\n  @link(url: "https://specs.apollo.dev/policy/v0.1", for: SECURITY)\n{\n  query:')
      .replace(/price: Int @join__field\(graph: PRICES\)/, `$& @policy(policies: [["pricing", "europe"], ["owner"]])`)
      .concat(
        "directive @policy(policies: [[policy__Policy!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM\nscalar policy__Policy\n",
      );
  beforeAll(async () => {
    useSecretKey("a-secret-key-that-only-tests-know");
    world = await createWorld();
    served = await serve({ ...world, supergraphSdl: withPolicies(world.supergraphSdl) }, "in process", { policies });
  });
  afterAll(() => served.close());
  const PRICE = `{ story(id: "moby") { price } }`;
  const refused = {
    message: "The policies europe, pricing do not hold for you.",
    extensions: {
      code: "FORBIDDEN",
      reason: "POLICY_MISSING",
      details: { policies: ["europe", "pricing"], coordinates: ["Story.price"] },
    },
  };

  test("is refused to whom none holds for before anything is fetched, on HTTP and on sockets", async () => {
    const token = await world.join(["run:read"]).token();
    const before = { ...world.asked };
    const { status, body } = await post(served, token, PRICE);
    expect(status).toBe(403);
    expect(body.errors).toEqual([
      expect.objectContaining({ ...refused, extensions: expect.objectContaining(refused.extensions) }),
    ]);
    const socket = await openTestSocket(served, { authorization: `Bearer ${token}` });
    expect(await socket.subscribe(PRICE).next()).toMatchObject({ errors: [refused], final: true });
    expect(await socket.subscribe(STORY, { id: newId() }).next()).toMatchObject({ errors: [refused], final: true });
    expect(world.asked).toEqual(before);
    expect(world.sources.open).toBe(0);
    await socket.close();
  });

  test("is served to whom one of the sets holds for", async () => {
    const member = world.join(["run:read"]);
    holding.set("owner", member.principalId);
    expect((await post(served, await member.token(), PRICE)).body).toEqual({ data: { story: { price: 4 } } });
  });

  test("answers nobody on a guess when the evaluator fails", async () => {
    const member = world.join(["run:read"]);
    holding.set("slow", member.principalId);
    const response = await post(served, await member.token(), PRICE);
    expect(response.status).toBe(503);
    expect(JSON.stringify(response.body)).toContain("POLICIES_UNDECIDED");
  });

  test("ends a stream when its policy does not hold any more, and none by being served anew", async () => {
    const member = world.join(["run:read"]);
    holding.set("owner", member.principalId);
    const storyId = newId();
    const socket = await openTestSocket(served, { authorization: `Bearer ${await member.token()}` });
    const stream = socket.subscribe(STORY, { id: storyId });
    await tell(member, storyId, ["first"]);
    expect(await stream.next()).toMatchObject({ data: { storyEvents: { seq: 1 } } });
    // The new supergraph asks for a policy that nobody was judged by yet.
    holding.set("europe", member.principalId);
    await served.gateway.reload(withPolicies(world.supergraphSdl).replace(`["owner"]`, `["europe"]`));
    await tell(member, storyId, ["second"]);
    expect(await stream.next()).toMatchObject({ data: { storyEvents: { seq: 2 } } });
    holding.delete("europe");
    world.setPermissions(member, ["run:read"]);
    expect(await stream.next()).toMatchObject({ errors: [{ extensions: { reason: "POLICY_MISSING" } }], final: true });
    await socket.close();
  });
});

describe("a gateway that has lost a subgraph", () => {
  test("gives the rest of the result, and one typed error for each path that is owed", async () => {
    useSecretKey("a-secret-key-that-only-tests-know");
    const world = await createWorld();
    const served = await serve(world, "over HTTP");
    try {
      await served.servers.get("prices")?.close();
      const token = await world.join(["run:read"]).token();
      const { status, body } = await post(
        served,
        token,
        `{ a: story(id: "one") { id price } b: story(id: "two") { id price } discount }`,
      );
      expect(status).toBe(200);
      expect(body.data).toEqual({ a: { id: "one", price: null }, b: { id: "two", price: null }, discount: null });
      const unavailable = { code: "UNAVAILABLE", reason: "SUBGRAPH_UNAVAILABLE", retryable: true };
      expect(body.errors?.map(({ path, extensions }) => ({ path, extensions }))).toEqual(
        expect.arrayContaining([
          { path: ["a"], extensions: expect.objectContaining(unavailable) },
          { path: ["b"], extensions: expect.objectContaining(unavailable) },
          { path: ["discount"], extensions: expect.objectContaining(unavailable) },
        ]),
      );
      expect(body.errors).toHaveLength(3);
      expect((await fetch(`${served.gateway.url}/readyz`)).status).toBe(503);
    } finally {
      await served.close();
    }
  });
});
