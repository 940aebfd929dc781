import { newId } from "@sba/platform/ids";
import { openRateLimiter, type RateLimiter } from "@sba/platform/rate-limit";
import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Member } from "./identity.testing.ts";
import { openTestSocket, post, serve, type Served } from "./testing.ts";
import { createWorld, type World } from "./world.testing.ts";
import type { RateLimits } from "./tolls.ts";

/** How often and how much one may ask, over HTTP and on sockets. */

const database = useDatabase();
const redis = useRedis();

const HOUR_MS = 3_600_000;
const limits = (quotas: Partial<Record<keyof RateLimits, number>>): Partial<RateLimits> =>
  Object.fromEntries(Object.entries(quotas).map(([name, quota]) => [name, { name, quota, windowMs: HOUR_MS }]));
const REFUSED = { code: "RATE_LIMITED", reason: "RATE_LIMITED", retryable: true, retryAfterMs: expect.any(Number) };

let world: World;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
});

describe.each([
  ["Redis", () => ({ redisUrl: redis().url })],
  ["Postgres", () => ({ databaseUrl: database().urls.app })],
])("with its limits in %s, a gateway", (_store, optionsOf) => {
  let limiter: RateLimiter;
  let served: Served;
  let other: Served;
  beforeAll(async () => {
    limiter = await openRateLimiter(optionsOf());
    const rateLimits = limits({ tenant: 150, principal: 100, operation: 50, address: 20, connect: 3 });
    served = await serve(world, "in process", { rateLimiter: limiter, rateLimits });
    other = await serve(world, "in process", { rateLimiter: limiter, rateLimits });
  });
  afterAll(async () => {
    await served.close();
    await other.close();
    await limiter.close();
  });
  const statusesOf = async (count: number, token: string | undefined, query: string) => {
    const answers = await Promise.all(
      Array.from({ length: count }, (_, index) => post(index % 2 ? served : other, token, query)),
    );
    return {
      ok: answers.filter(({ status }) => status === 200).length,
      refused: answers.find(({ status }) => status === 429),
    };
  };

  test("answers exactly as many of 200 requests at once as the operation, the principal and the tenant may ask", async () => {
    const member = world.join(["run:read"]);
    const colleague = world.join(["run:read"], { tenantId: member.tenantId });
    const [token, theirs] = [await member.token(), await colleague.token()];
    const first = await statusesOf(200, token, "{ whoAmI }");
    expect(first.ok).toBe(50);
    // Another operation of the same principal: of its 100 half are left; then of the tenant's 150 another 50.
    expect((await statusesOf(100, token, "{ a: whoAmI }")).ok).toBe(50);
    expect((await statusesOf(10, token, "{ b: whoAmI }")).refused?.body.errors?.[0]?.extensions).toMatchObject({
      details: { limit: "principal" },
    });
    expect((await statusesOf(100, theirs, "{ whoAmI }")).ok).toBe(50);
    expect((await statusesOf(2, theirs, "{ a: whoAmI }")).refused?.body.errors?.[0]?.extensions).toMatchObject({
      details: { limit: "tenant" },
    });
    // Nobody else is concerned.
    expect((await statusesOf(1, await world.join([]).token(), "{ whoAmI }")).ok).toBe(1);
  });

  test("says with a refusal when to come again, and with every answer how the limits stand", async () => {
    const token = await world.join(["run:read"]).token();
    const answered = await post(served, token, "{ whoAmI }");
    expect(Object.fromEntries(answered.headers)).toMatchObject({
      "ratelimit-policy": `"operation";q=50;w=3600, "principal";q=100;w=3600, "tenant";q=150;w=3600`,
      ratelimit: expect.stringMatching(/^"operation";r=49;t=\d+$/),
      "ratelimit-limit": "50",
      "ratelimit-remaining": "49",
    });
    const { refused } = await statusesOf(60, token, "{ whoAmI }");
    expect(refused?.body).toEqual({
      errors: [
        {
          message: "Too many requests: ask again later.",
          extensions: {
            ...REFUSED,
            requestId: expect.any(String),
            details: { limit: "operation", quota: 50, windowMs: HOUR_MS, remaining: 0 },
          },
        },
      ],
    });
    const retryAfterS = Number(refused?.headers.get("retry-after"));
    expect(retryAfterS).toBe(Math.ceil(Number(refused?.body.errors?.[0]?.extensions["retryAfterMs"]) / 1_000));
    expect(retryAfterS).toBeGreaterThan(0);
    expect(refused?.headers.get("ratelimit-remaining")).toBe("0");
  });

  test("counts the operations of sockets with those of HTTP, and a refused one harms no other", async () => {
    const member = world.join(["run:read"]);
    const token = await member.token();
    await statusesOf(45, token, "{ whoAmI }");
    const socket = await openTestSocket(served, { authorization: `Bearer ${token}` });
    const stream = socket.subscribe("subscription { ticks }");
    const answers = await Promise.all(Array.from({ length: 20 }, () => socket.subscribe("{ whoAmI }").next()));
    expect(answers.filter((answer) => answer !== "complete" && answer.data !== undefined)).toHaveLength(5);
    expect(answers.at(-1)).toMatchObject({ final: true, errors: [{ extensions: REFUSED }] });
    const told = stream.next();
    expect(await Promise.race([told, socket.subscribe("{ b: whoAmI }").next()])).toEqual({
      data: { b: member.principalId },
    });
    await socket.close();
  });

  test("closes with 1013 the sockets that a principal opens too often", async () => {
    const authorization = `Bearer ${await world.join(["run:read"]).token()}`;
    const sockets = await Promise.all([1, 2, 3].map(() => openTestSocket(served, { authorization })));
    const refused = await openTestSocket(served);
    refused.send({ type: "connection_init", payload: { authorization } });
    expect(await refused.closed).toEqual({
      code: 1013,
      reason: expect.stringMatching(/^RATE_LIMITED retryAfterMs=\d+$/),
    });
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test("says of an event stream, too, when to come again, and how the limit of connections stands", async () => {
    const authorization = `Bearer ${await world.join(["run:read"]).token()}`;
    const open = () =>
      fetch(`${served.gateway.sseUrl}?query=${encodeURIComponent("{ whoAmI }")}`, { headers: { authorization } });
    const opened = await open();
    expect(opened.headers.get("ratelimit")).toMatch(/^"connect";r=2;t=\d+$/);
    expect(await opened.text()).toContain("whoAmI");
    for (const _again of [2, 3]) await (await open()).text();
    const refused = await open();
    expect([refused.status, Object.fromEntries(refused.headers)]).toEqual([
      429,
      expect.objectContaining({
        "retry-after": expect.stringMatching(/^[1-9]\d*$/),
        "ratelimit-policy": `"connect";q=3;w=3600`,
        ratelimit: expect.stringMatching(/^"connect";r=0;t=\d+$/),
        "ratelimit-remaining": "0",
      }),
    ]);
  });

  test("tells strangers apart by their address", async () => {
    expect((await statusesOf(60, undefined, `{ greeting(name: "x") }`)).ok).toBe(20);
  });
});

describe("credentials that are not good", () => {
  let served: Served;
  beforeAll(async () => {
    served = await serve(world, "in process", {
      rateLimits: limits({ address: 100 }),
      trustedProxies: ["127.0.0.1"],
    });
  });
  afterAll(() => served.close());
  const forged = () => `sba_${newId().replaceAll("-", "")}`;
  const from = (address: string) => ({ "x-forwarded-for": address });
  const ask = (token: string, address: string) => post(served, token, "{ whoAmI }", {}, from(address));

  test("are counted against their address, and beyond its limit nobody looks at them", async () => {
    const member = world.join(["run:read"]);
    const token = await member.token();
    const statuses: number[] = [];
    for (let each = 0; each < 150; each++) statuses.push((await ask(forged(), "203.0.113.1")).status);
    expect(statuses).toEqual([...Array<number>(100).fill(401), ...Array<number>(50).fill(429)]);
    const refused = await ask(token, "203.0.113.1");
    expect([refused.status, refused.body.errors?.[0]?.extensions]).toEqual([
      429,
      expect.objectContaining({ ...REFUSED, details: expect.objectContaining({ limit: "address" }) }),
    ]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await ask(token, "203.0.113.2")).body.data).toEqual({ whoAmI: member.principalId });
  });

  test("are counted on sockets, too", async () => {
    const init = async (token: string, address: string) => {
      const socket = await openTestSocket(served, undefined, from(address));
      socket.send({ type: "connection_init", payload: { authorization: `Bearer ${token}` } });
      return socket;
    };
    for (let each = 0; each < 99; each++) await ask(forged(), "203.0.113.3");
    expect(await (await init(forged(), "203.0.113.3")).closed).toMatchObject({ code: 4401 });
    expect(await (await init(forged(), "203.0.113.3")).closed).toMatchObject({
      code: 1013,
      reason: expect.stringMatching(/^RATE_LIMITED retryAfterMs=\d+$/),
    });
    const good = await init(await world.join(["run:read"]).token(), "203.0.113.4");
    await good.message("connection_ack");
    await good.close();
  });
});

describe("the cost of an operation", () => {
  let served: Served;
  let member: Member;
  let token: string;
  beforeAll(async () => {
    served = await serve(world, "in process", { limits: { maxCost: 12 }, rateLimits: limits({ cost: 100 }) });
    member = world.join(["run:read", "run:start"]);
    token = await member.token();
  });
  afterAll(() => served.close());

  test("is told with its answer: what it might, what it did, and what is left of the tenant's budget", async () => {
    const { extensions } = await post(
      served,
      token,
      `{ a: story(id: "1") { tenant { id } } b: story(id: "absent") { tenant { id } } }`,
    );
    // The second story is not there: of 4 objects 2 came.
    expect(extensions).toEqual({ cost: { estimated: 4, actual: 2, remaining: 98 } });
  });

  test("is told on sockets too", async () => {
    const socket = await openTestSocket(served, { authorization: `Bearer ${token}` });
    socket.send({ id: "raw", type: "subscribe", payload: { query: `{ story(id: "1") { id } }` } });
    expect(await socket.message("next")).toMatchObject({
      payload: { extensions: { cost: { estimated: 1, actual: 1, remaining: 97 } } },
    });
    await socket.close();
  });

  test("is refused beyond what one may cost, before anything is fetched", async () => {
    const before = { ...world.asked };
    const query = `{ ${Array.from({ length: 13 }, (_, index) => `a${index}: story(id: "1") { id }`).join(" ")} }`;
    const { status, body } = await post(served, token, query);
    expect([status, body.errors?.[0]?.extensions]).toEqual([
      400,
      expect.objectContaining({
        code: "BAD_USER_INPUT",
        reason: "OPERATION_TOO_COSTLY",
        retryable: false,
        details: { estimated: 13, limit: 12 },
      }),
    ]);
    expect(world.asked).toEqual(before);
  });

  test("is taken from the tenant's budget alone, by all who ask at once", async () => {
    const [one, two] = [world.join(["run:start"]), world.join(["run:start"])];
    const mutate = async (who: Member) => post(served, await who.token(), "mutation { tick(number: 1) }");
    const answers = await Promise.all(Array.from({ length: 30 }, () => mutate(one)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(20);
    expect(refused[0]?.body.errors?.[0]?.extensions).toMatchObject({
      code: "RATE_LIMITED",
      reason: "COST_BUDGET_EXHAUSTED",
    });
    expect(Number(refused[0]?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await mutate(two)).status).toBe(200);
  });
});

test("the events of a run are asked for as often as any other operation, and the answer says how often that is", async () => {
  const served = await serve(world, "in process", { rateLimits: limits({ operation: 1, connect: 10 }) });
  const authorization = `Bearer ${await world.join(["run:read"]).token()}`;
  const ask = () => fetch(`${served.gateway.url}/workflow/runs/run_1/events`, { headers: { authorization } });
  await ask();
  const refused = await ask();
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(refused.headers.get("ratelimit-policy")).toContain(`"operation";q=1;w=3600`);
  expect(refused.headers.get("ratelimit")).toMatch(/^"operation";r=0;t=\d+$/);
  await served.close();
});

test("a stranger's mutation counts once for each of its fields: each may be a password to verify", async () => {
  const served = await serve(world, "in process", { rateLimits: limits({ address: 25 }) });
  const fields = Array.from({ length: 20 }, (_, index) => `a${index}: knock`).join(" ");
  const knock = (query: string) => post(served, undefined, query);
  expect((await knock(`mutation { ...Knocks } fragment Knocks on Mutation { ${fields} }`)).status).toBe(200);
  const refused = await knock(`mutation { ${fields} }`);
  expect([refused.status, refused.body.errors?.[0]?.extensions]).toEqual([
    429,
    expect.objectContaining({ ...REFUSED, details: expect.objectContaining({ limit: "address" }) }),
  ]);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  // Of 25, the first took 20 and the refused one 1.
  for (let count = 0; count < 4; count++) expect((await knock("mutation { knock }")).status).toBe(200);
  expect((await knock("mutation { knock }")).status).toBe(429);
  await served.close();
});

test("a batch is taken up to its limit, and each of its operations counts", async () => {
  const served = await serve(world, "in process", { limits: { maxBatch: 2 }, rateLimits: limits({ principal: 5 }) });
  const authorization = `Bearer ${await world.join([]).token()}`;
  const send = (count: number) =>
    fetch(served.gateway.graphqlUrl, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify(Array.from({ length: count }, () => ({ query: "{ __typename }", id: newId() }))),
    });
  expect((await send(3)).status).toBe(400);
  const both = await send(2);
  expect([both.status, await both.json()]).toEqual([
    200,
    [expect.objectContaining({ data: { __typename: "Query" } }), expect.anything()],
  ]);
  expect((await send(1)).status).toBe(429);
  await served.close();
});

test("what is refused unrun counts as well: a document that is not trusted, and a hash that nobody has left", async () => {
  const rateLimits = limits({ principal: 3 });
  const trusting = await serve(world, "in process", { rateLimits, trustedDocuments: { manifests: [], only: true } });
  const lenient = await serve(world, "in process", { rateLimits });
  const statuses = async (of: Served, body: object) => {
    const authorization = `Bearer ${await world.join([]).token()}`;
    const ask = () =>
      fetch(of.gateway.graphqlUrl, {
        method: "POST",
        headers: { "content-type": "application/json", authorization },
        body: JSON.stringify(body),
      });
    const answers = [await ask(), await ask(), await ask(), await ask()];
    return answers.map(({ status }) => status);
  };
  expect(await statuses(trusting, { query: "{ whoAmI }" })).toEqual([403, 403, 403, 429]);
  expect(await statuses(lenient, { documentId: `sha256:${"0".repeat(64)}` })).toEqual([200, 200, 200, 429]);
  const socket = await openTestSocket(trusting, { authorization: `Bearer ${await world.join([]).token()}` });
  const answers: unknown[] = [];
  for (let count = 0; count < 4; count++) answers.push(await socket.subscribe("{ whoAmI }").next());
  expect(answers).toMatchObject(
    ["DOCUMENT_NOT_TRUSTED", "DOCUMENT_NOT_TRUSTED", "DOCUMENT_NOT_TRUSTED", "RATE_LIMITED"].map((reason) => ({
      errors: [{ extensions: { reason } }],
    })),
  );
  await socket.close();
  await trusting.close();
  await lenient.close();
});
