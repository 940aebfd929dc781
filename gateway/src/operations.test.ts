import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase } from "@sba/testkit/services";
import { getIntrospectionQuery } from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, type Served } from "./testing.ts";
import { createWorld } from "./world.testing.ts";

/** One operation that is posted is answered as Apollo Server would: it answers batches, and a batch of one is the same question. */

useDatabase();

let served: Served;
const tokens: Record<string, string | undefined> = {};
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  const world = await createWorld();
  served = await serve(world, "in process", {
    development: false,
    introspection: "members",
    limits: { maxBatch: 2, maxCost: 200 },
  });
  tokens["a member"] = await world.join(["run:read", "run:start"]).token();
  tokens["a partner"] = world.join(["usage:read"], { apiKey: true }).apiKey;
});
afterAll(() => served.close());

const TYPES = ["application/json", "application/graphql-response+json", "text/html, application/json;q=0.5"];
const story = `query Story($id: ID!) { story(id: $id) { id price } }`;

async function ask(body: unknown, who: string, accept: string) {
  const token = tokens[who];
  const response = await fetch(served.gateway.graphqlUrl, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept,
      "x-request-id": "request-1",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
  const { headers, status } = response;
  const said = ["content-type", "retry-after", "x-request-id", "ratelimit-policy"].map((name) => headers.get(name));
  // Of the budget there is less with each question.
  const text = (await response.text()).replace(/"remaining":\d+/g, '"remaining":0');
  return { status, said, body: JSON.parse(text) as unknown };
}

describe.each(["a member", "a partner", "a stranger"])("for %s", (who) => {
  test.each<[string, Record<string, unknown>]>([
    ["data", { query: `query($name: String!) { hi: greeting(name: $name) __typename }`, variables: { name: "you" } }],
    ["a join", { query: story, variables: { id: "four" }, operationName: "Story" }],
    ["an error beside data", { query: story, variables: { id: "priceless" } }],
    ["an error of ours", { query: story, variables: { id: "absent" } }],
    ["one of several operations", { query: `${story} query Other { __typename }`, operationName: "Other" }],
    ["an operation that is not there", { query: story, operationName: "Nobody" }],
    ["none of several", { query: `${story} query Other { __typename }` }],
    ["variables that do not fit", { query: story, variables: { id: ["x"] } }],
    ["variables that are missing", { query: story, variables: null }],
    ["a syntax error", { query: "{ story(" }],
    ["what is not valid", { query: "{ greetin story { id } }" }],
    ["a crash", { query: "{ crash }" }],
    ["a mutation", { query: "mutation { tick(number: 3) }" }],
    ["a subscription", { query: "subscription { ticks }" }],
    ["the schema", { query: getIntrospectionQuery() }],
    ["what is for partners", { query: "{ ledger }" }],
    [
      "nothing that may cost so much",
      {
        query: `{ ${Array.from({ length: 20 }, (_, i) => `a${i}: story(id: "x") { id tenant { id name } price }`).join(" ")} }`,
      },
    ],
    ["unknown extensions", { query: "{ __typename }", extensions: { trace: true } }],
    ["null for what is not said", { query: "{ __typename }", extensions: null, operationName: null, variables: null }],
  ])("%s", async (_what, body) => {
    for (const accept of TYPES) {
      // Twice: the first of a kind may be the one that is new.
      await ask(body, who, accept);
      const [plain, batch] = [await ask(body, who, accept), await ask([body], who, accept)];
      expect([plain.body]).toEqual(batch.body);
      expect([plain.status, plain.said]).toEqual([batch.status, batch.said]);
    }
  });
});

test("of a batch all are refused for one that is too deep, and told as one is", async () => {
  const deep = { query: `{ ${"story(id: 1) { tenant { ".repeat(9)} id ${"} } ".repeat(9)} }` };
  const [plain, batch] = [await ask(deep, "a member", "*/*"), await ask([deep], "a member", "*/*")];
  expect(plain).toEqual(batch);
  expect(plain.body).toMatchObject({ errors: [{ extensions: { reason: "OPERATION_TOO_DEEP" } }] });
});

test.each([
  ["no query", {}],
  ["a query that is no text", { query: 7 }],
  ["variables as text", { query: "{ __typename }", variables: "{}" }],
  ["extensions as a list", { query: "{ __typename }", extensions: [] }],
  ["a name that is none", { query: "{ __typename }", operationName: 7 }],
])("refuses %s", async (_what, body) => {
  expect((await ask(body, "a member", "application/json")).status).toBe(400);
});

test("a document is answered by the graph of now, whatever it was known as before", async () => {
  const world = await createWorld();
  const replaced = await serve(world, "in process");
  const token = await world.join(["run:read"]).token();
  const send = async () => {
    const response = await fetch(replaced.gateway.graphqlUrl, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ query: `{ story(id: "four") { price } }` }),
    });
    return { status: response.status, ...((await response.json()) as object) };
  };
  expect(await send()).toMatchObject({ status: 200, data: { story: { price: 4 } } });
  await replaced.gateway.reload(world.supergraphSdl.replaceAll(/^ {2}price: Int.*\n/gm, ""));
  expect(await send()).toMatchObject({ status: 400, errors: [{ extensions: { code: "GRAPHQL_VALIDATION_FAILED" } }] });
  await replaced.gateway.reload(world.supergraphSdl);
  expect(await send()).toMatchObject({ status: 200, data: { story: { price: 4 } } });
  await replaced.close();
});
