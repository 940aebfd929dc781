import type { IncomingHttpHeaders } from "node:http";
import { composeServices } from "@apollo/composition";
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { ApolloServer } from "@apollo/server";
import { ApolloServerPluginInlineTraceDisabled } from "@apollo/server/plugin/disabled";
import { startStandaloneServer } from "@apollo/server/standalone";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { logger, setLogLevel } from "@sba/platform/log";
import { useSecretKey } from "@sba/platform/secrets";
import { GraphQLError, parse, type DocumentNode } from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startGateway, type RunningGateway } from "./gateway.ts";

/**
 * What federation means, unchanged by all that stands before the plan: each case is asked of our gateway, with everything on, and
 * of the plain @apollo/gateway, both before the same real subgraphs. `execution.test.ts` compares what nobody would write.
 */

type Resolvers = NonNullable<Parameters<typeof buildSubgraphSchema>[0]>;
type Reference = Readonly<Record<string, unknown>> & { readonly id?: string; readonly isbn?: string };

const fail = (message: string) => () => {
  throw new GraphQLError(message, { extensions: { code: "CONFLICT", reason: "SCRIPTED" } });
};
const BOOKS = ["1", "2", "3"].map((id) => ({ id, isbn: `isbn-${id}`, title: `Book ${id}`, weight: Number(id) * 100 }));
const bookBy = ({ id, isbn }: Reference) => BOOKS.find((book) => book.id === id || book.isbn === isbn) ?? null;
const link = (names: string) =>
  `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: [${names}])`;

const SUBGRAPHS: readonly { readonly name: string; readonly sdl: string; readonly resolvers: object }[] = [
  {
    name: "catalogue",
    sdl: `${link(`"@key", "@shareable", "@inaccessible"`)}
      type Query { book(id: ID!): Book books: [Book] shelves: [[Book!]!]! media: [Media!]! items: [Item] nobody: Book broken: Book must: Book! }
      interface Item @key(fields: "id") { id: ID! name: String! }
      type Book implements Item @key(fields: "id") @key(fields: "isbn") { id: ID! isbn: String! name: String! title: String! @shareable weight: Int stock: Int moody: String strict: Int! hidden: String @inaccessible }
      type Film implements Item @key(fields: "id") { id: ID! name: String! minutes: Int }
      union Media = Book | Film`,
    resolvers: {
      Query: {
        book: (_: unknown, reference: Reference) => bookBy(reference),
        books: () => [BOOKS[0], null, BOOKS[2]],
        shelves: () => [[BOOKS[0], BOOKS[1]], [], [BOOKS[2]]],
        media: () => [
          { __typename: "Book", ...BOOKS[0] },
          { __typename: "Film", id: "9", name: "Film 9", minutes: 90 },
        ],
        items: () => [
          { __typename: "Film", id: "9", name: "Film 9", minutes: 90 },
          null,
          { __typename: "Book", ...BOOKS[1] },
        ],
        nobody: () => null,
        broken: fail("no such shelf"),
        must: () => null,
      },
      Item: {
        __resolveReference: (reference: Reference) => ({
          __typename: reference.id === "9" ? "Film" : "Book",
          ...bookBy(reference),
          id: reference.id,
        }),
      },
      Book: {
        __resolveReference: bookBy,
        name: ({ id }: Reference) => `Book ${id}`,
        moody: ({ id }: Reference) => (id === "2" ? fail("not today")() : "fine"),
        strict: ({ id }: Reference) => (id === "2" ? null : 1),
      },
      Film: { __resolveReference: ({ id }: Reference) => ({ id, name: `Film ${id}`, minutes: 90 }) },
    },
  },
  {
    name: "reviews",
    sdl: `${link(`"@key", "@external", "@requires", "@provides"`)}
      type Query { newest: [Review!]! byIsbn(isbn: String!): Review }
      type Review { id: ID! stars: Int! book: Book @provides(fields: "title") by: Person }
      type Book @key(fields: "isbn") { isbn: String! title: String! @external weight: Int @external postage(rate: Int! = 1): Int @requires(fields: "weight") average: Float failing: Int }
      type Person @key(fields: "id", resolvable: false) { id: ID! }`,
    resolvers: {
      Query: {
        newest: () =>
          BOOKS.map(({ id, isbn, title }) => ({
            id: `r${id}`,
            stars: Number(id),
            book: { isbn, title: `provided ${title}` },
            by: { id: `p${id}` },
          })),
        byIsbn: (_: unknown, { isbn }: Reference) => ({
          id: "r",
          stars: 5,
          book: { isbn, title: "provided" },
          by: null,
        }),
      },
      Book: {
        __resolveReference: (reference: Reference) => (reference.isbn === "isbn-3" ? null : reference),
        postage: ({ weight }: { readonly weight?: number }, { rate }: { readonly rate: number }) =>
          (weight ?? 0) * rate,
        average: () => 4.5,
        failing: fail("no reviews today"),
      },
    },
  },
  {
    name: "likes",
    sdl: `${link(`"@key", "@interfaceObject"`)}
      type Item @key(fields: "id") @interfaceObject { id: ID! likes: Int! dislikes: Int }`,
    resolvers: {
      Item: {
        __resolveReference: (reference: Reference) => reference,
        likes: ({ id }: Reference) => Number(id) * 10,
        dislikes: ({ id }: Reference) => (id === "9" ? fail("nobody says")() : null),
      },
    },
  },
  {
    name: "stock",
    sdl: `${link(`"@key", "@override", "@shareable"`)}
      type Query { person(id: ID!): Person }
      type Book @key(fields: "id") { id: ID! stock: Int @override(from: "catalogue") title: String! @shareable }
      type Person @key(fields: "id") { id: ID! name: String reads: [Book!] }`,
    resolvers: {
      Query: { person: (_: unknown, { id }: Reference) => ({ id }) },
      Book: {
        __resolveReference: ({ id }: Reference) => ({ id, title: `Book ${id}` }),
        stock: ({ id }: Reference) => (id === "3" ? null : Number(id)),
      },
      Person: {
        __resolveReference: ({ id }: Reference) => (id === "p2" ? null : { id }),
        name: ({ id }: Reference) => `Person ${id}`,
        reads: ({ id }: Reference) => (id === "p3" ? null : [{ id: "1" }, { id: "2" }]),
      },
    },
  },
];

type Case = readonly [what: string, query: string, variables?: Record<string, unknown>];
const CASES: readonly Case[] = [
  ["an entity joined from three subgraphs", `{ book(id: "1") { id isbn title weight stock average } }`],
  ["a list of entities, one of them null", `{ books { id stock average } }`],
  ["entities in lists of lists", `{ shelves { title stock average postage } }`],
  ["the second of several keys", `{ byIsbn(isbn: "isbn-2") { book { id stock weight } } }`],
  ["a key that nobody answers to", `{ byIsbn(isbn: "unknown") { stars book { isbn stock weight } } }`],
  ["an entity that its subgraph does not know", `{ book(id: "3") { title average postage } }`],
  ["@requires", `{ book(id: "2") { postage doubled: postage(rate: 2) } }`],
  ["@requires in a list, with a variable", `query($rate: Int!) { books { postage(rate: $rate) } }`, { rate: 3 }],
  [
    "@provides, and what is not provided",
    `{ newest { stars book { title } } byIsbn(isbn: "isbn-1") { book { title weight } } }`,
  ],
  ["@override", `{ book(id: "3") { stock } books { stock } }`],
  ["a reference that is not resolved where it stands", `{ newest { by { id name reads { title stock } } } }`],
  ["an interface object", `{ items { __typename id name likes } }`],
  ["an interface object with an error", `{ items { likes dislikes ... on Film { minutes } } }`],
  ["an interface object by way of its implementation", `{ book(id: "2") { likes } }`],
  ["a union", `{ media { __typename ... on Book { title stock likes } ... on Film { minutes likes } } }`],
  [
    "an interface with fragments",
    `{ items { ...I ... on Book { stock } } } fragment I on Item { id ... on Film { minutes } }`,
  ],
  [
    "fragments in fragments",
    `{ books { ...A } } fragment A on Book { ...B average } fragment B on Book { title stock }`,
  ],
  [
    "@skip and @include",
    `query($on: Boolean!, $off: Boolean!) { book(id: "1") { title @include(if: $on) stock @skip(if: $on) average @include(if: $off) ... on Book @include(if: $on) { weight } } }`,
    { on: true, off: false },
  ],
  ["everything skipped", `query($on: Boolean!) { book(id: "1") @skip(if: $on) { title } }`, { on: true }],
  [
    "a fetch that is skipped",
    `query($on: Boolean!) { books { id ... @skip(if: $on) { stock average } } }`,
    { on: true },
  ],
  [
    "aliases",
    `{ one: book(id: "1") { name: title title: stock a: average b: average } two: book(id: "2") { name: isbn } }`,
  ],
  [
    "the same field through two fragments",
    `{ book(id: "1") { ...A ...B } } fragment A on Book { stock average } fragment B on Book { average title }`,
  ],
  ["__typename everywhere", `{ __typename book(id: "1") { __typename likes } media { __typename } }`],
  ["null where nothing is", `{ nobody { title stock } book(id: "unknown") { average } }`],
  ["an error at the root beside what works", `{ broken { title } book(id: "1") { title } }`],
  ["null for what must not be, at the root", `{ must { title } book(id: "1") { title } }`],
  ["an error of a field, and its neighbours", `{ one: book(id: "1") { moody } two: book(id: "2") { moody stock } }`],
  ["an error in a list of lists", `{ shelves { id moody } }`],
  ["null for what must not be, in a list", `{ one: book(id: "1") { strict } two: book(id: "2") { strict title } }`],
  ["an error of a joined field", `{ book(id: "1") { title failing average } }`],
  ["errors of a joined field in a list", `{ shelves { title failing } }`],
  ["a variable that is not given", `query($id: ID!) { book(id: $id) { title } }`],
  [
    "a variable with a default",
    `query($id: ID! = "2", $rate: Int! = 5) { book(id: $id) { title postage(rate: $rate) } }`,
  ],
  ["introspection beside data", `{ __type(name: "Book") { name kind } book(id: "1") { title } }`],
  ["what is hidden", `{ book(id: "1") { hidden } }`],
  ["what there is not", `{ book(id: "1") { nothing } }`],
];

interface Answer {
  readonly data?: unknown;
  readonly errors?: readonly { readonly path?: readonly (string | number)[] }[];
}

let ours: RunningGateway;
let plain: ApolloServer;
const servers: ApolloServer[] = [];
const level = logger.level;
/** By the subgraphs, of each request. */
const heard: IncomingHttpHeaders[] = [];

beforeAll(async () => {
  setLogLevel("silent");
  useSecretKey("a-secret-key-that-only-tests-know");
  const running = await Promise.all(
    SUBGRAPHS.map(async ({ name, sdl, resolvers }) => {
      const typeDefs: DocumentNode = parse(sdl);
      const server = new ApolloServer({
        schema: buildSubgraphSchema({ typeDefs, resolvers } as Resolvers),
        plugins: [ApolloServerPluginInlineTraceDisabled()],
      });
      servers.push(server);
      const { url } = await startStandaloneServer(server, {
        listen: { port: 0, host: "127.0.0.1" },
        context: ({ req }) => {
          heard.push(req.headers);
          return Promise.resolve({});
        },
      });
      return { name, typeDefs, url: url.replace("localhost", "127.0.0.1") };
    }),
  );
  const { supergraphSdl, errors } = composeServices(running);
  if (supergraphSdl === undefined) throw new Error(errors?.map(String).join("\n"));
  plain = new ApolloServer({
    gateway: new ApolloGateway({
      supergraphSdl,
      buildService: ({ url }) => new RemoteGraphQLDataSource({ url: url ?? "" }),
    }),
  });
  await plain.start();
  ours = await startGateway({
    ...{ host: "127.0.0.1", port: 0, supergraphSdl, development: true, anybody: true },
    subgraphs: running.map(({ name, url }) => ({ name, url: new URL(url).origin, routes: [], foreignPath: "/" })),
  });
});
afterAll(async () => {
  setLogLevel(level);
  await ours.close();
  await plain.stop();
  await Promise.all(servers.map((server) => server.stop()));
});

async function askOurs(query: string, variables: object): Promise<Answer> {
  const response = await fetch(ours.graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()) as Answer;
}

async function askPlain(query: string, variables: Record<string, unknown>): Promise<Answer> {
  const { body } = await plain.executeOperation({ query, variables });
  if (body.kind !== "single") throw new Error("one answer was expected");
  return JSON.parse(JSON.stringify(body.singleResult)) as Answer;
}

/** The data to the order of its fields, and where errors are; those of fetches under way together come in any order. */
function shown({ data, errors = [] }: Answer): string {
  const paths = errors.map(({ path }) => JSON.stringify(path ?? null)).toSorted();
  return JSON.stringify({ data: data ?? null, paths }, undefined, 1);
}

test.each(CASES.map((each) => ({ what: each[0], each })))(
  "$what means what it means to the plain gateway",
  async ({ each: [, query, variables = {}] }) => {
    const [answer, expected] = await Promise.all([askOurs(query, variables), askPlain(query, variables)]);
    expect(shown(answer)).toBe(shown(expected));
  },
);

test("subgraphs that are somebody else's hear which request it is, and have no token of ours", async () => {
  heard.length = 0;
  await askOurs(`{ book(id: "1") { isbn stock } }`, {});
  expect(heard.length).toBeGreaterThan(1);
  for (const headers of heard)
    expect([typeof headers["x-request-id"], headers["x-internal-token"]]).toEqual(["string", undefined]);
});

test("both answer with what the subgraphs have", async () => {
  const query = `{ book(id: "1") { isbn stock average likes failing } }`;
  const expected = { book: { isbn: "isbn-1", stock: 1, average: 4.5, likes: 10, failing: null } };
  for (const { data, errors } of await Promise.all([askOurs(query, {}), askPlain(query, {})]))
    expect([data, errors?.map(({ path }) => path)]).toEqual([expected, [["book", "failing"]]]);
});
