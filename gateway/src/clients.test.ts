import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client/core";
import { Client as UrqlClient, fetchExchange, gql as urqlGql, subscriptionExchange } from "@urql/core";
import { newId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase } from "@sba/testkit/services";
import { GraphQLClient } from "graphql-request";
import { createClient, type Client } from "graphql-ws";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Member } from "./identity.testing.ts";
import { serve, type Served } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

/** Clients as people have them, against the gateway as it is. */

useDatabase();

let world: World;
let served: Served;
let member: Member;
let headers: { readonly authorization: string };
let socket: Client;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
  served = await serve(world, "in process");
  member = world.join(["run:read"]);
  headers = { authorization: `Bearer ${await member.token()}` };
  socket = createClient({
    url: served.gateway.subscriptionsUrl,
    webSocketImpl: WebSocket,
    connectionParams: headers,
    retryAttempts: 0,
  });
});
afterAll(async () => {
  await socket.dispose();
  await served.close();
});

const QUERY = `query Story($id: ID!) { story(id: $id) { id price tenant { name } } }`;
const story = () => ({ id: "moby", price: 4, tenant: { name: `tenant ${member.tenantId}` } });

async function aStory(): Promise<string> {
  const id = newId();
  await tell(member, id, ["once"], "the end");
  return id;
}
const eventsOf = (id: string) => `subscription { storyEvents(storyId: "${id}") { seq ... on StoryTold { text } } }`;
const TOLD = [{ storyEvents: { seq: 1, text: "once" } }, { storyEvents: { seq: 2 } }];

describe("graphql-ws", () => {
  test("runs queries and subscriptions, and hears why one is refused", async () => {
    const results: unknown[] = [];
    for await (const { data } of socket.iterate({ query: eventsOf(await aStory()) })) results.push(data);
    expect(results).toEqual(TOLD);
    const refused = socket.iterate({ query: `subscription { nothing }` });
    await expect(refused.next()).rejects.toMatchObject([{ extensions: { code: "GRAPHQL_VALIDATION_FAILED" } }]);
    expect((await socket.iterate({ query: QUERY, variables: { id: "moby" } }).next()).value).toMatchObject({
      data: { story: story() },
    });
  });
});

test("Apollo Client runs queries, and has the code of an error", async () => {
  const client = new ApolloClient({
    link: new HttpLink({ uri: served.gateway.graphqlUrl, headers }),
    cache: new InMemoryCache(),
    clientAwareness: { name: "a-test", version: "1" },
  });
  const { data } = await client.query({ query: gql(QUERY), variables: { id: "moby" } });
  expect(data).toMatchObject({ story: story() });
  await expect(
    client.query({ query: gql(`query { story(id: "absent") { id } }`), errorPolicy: "none" }),
  ).rejects.toMatchObject({ errors: [{ extensions: { code: "NOT_FOUND", reason: "STORY_NOT_FOUND" } }] });
  client.stop();
});

test("urql runs queries and subscriptions", async () => {
  const client = new UrqlClient({
    url: served.gateway.graphqlUrl,
    fetchOptions: { headers },
    preferGetMethod: false,
    exchanges: [
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({
            unsubscribe: socket.subscribe(
              { query: query ?? "", variables: variables as Record<string, unknown> },
              sink as never,
            ),
          }),
        }),
      }),
    ],
  });
  const { data } = await client.query(urqlGql(QUERY), { id: "moby" }).toPromise();
  expect(data).toMatchObject({ story: story() });
  const id = await aStory();
  const results = await new Promise<unknown[]>((resolve) => {
    const heard: unknown[] = [];
    const { unsubscribe } = client.subscription(urqlGql(eventsOf(id)), {}).subscribe((result) => {
      heard.push(result.data);
      if (heard.length < 2) return;
      resolve(heard);
      queueMicrotask(() => {
        unsubscribe();
      });
    });
  });
  expect(results).toMatchObject(TOLD);
});

test("graphql-request runs queries, and throws what the answer says", async () => {
  const client = new GraphQLClient(served.gateway.graphqlUrl, { headers });
  expect(await client.request(QUERY, { id: "moby" })).toEqual({ story: story() });
  await expect(client.request(`{ nothing }`)).rejects.toMatchObject({
    response: { status: 400, errors: [{ extensions: { code: "GRAPHQL_VALIDATION_FAILED" } }] },
  });
});
