import { composeServices } from "@apollo/composition";
import { buildSubgraphSchema, printSubgraphSchema } from "@apollo/subgraph";
import type { Subgraph } from "@sba/platform/server";
import { parse, type GraphQLSchema } from "graphql";

/**
 * Books of one subgraph and their reviews of another, from memory: what there is between a client and its answer is then the
 * servers' own. The same as one schema, which answers both halves itself.
 */

const LINK = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key", "@requiresScopes"])`;
const BOOKS = `
  type Query {
    book(id: ID!): Book @requiresScopes(scopes: [["run:read"]])
    books(first: Int!): [Book!]! @requiresScopes(scopes: [["run:read"]])
  }
  type Book @key(fields: "id") { id: ID! title: String! pages: Int! author: Author! }
  type Author { name: String! born: Int! }`;
const REVIEW = `type Review { id: ID! stars: Int! text: String! }`;
const REVIEWS = `type Book @key(fields: "id") { id: ID! reviews: [Review!]! } ${REVIEW}`;
const BOTH = `${BOOKS} extend type Book { reviews: [Review!]! } ${REVIEW}`;

/** One join of an entity: the book of the one subgraph, its reviews of the other. */
export const JOINED = {
  query: `query Book($id: ID!) { book(id: $id) { id title pages author { name } reviews { id stars text } } }`,
  variables: { id: "book-7" },
} as const;
/** What the one answers alone. */
export const ALONE = {
  query: `query Books($first: Int!) { books(first: $first) { id title pages author { name } } }`,
  variables: { first: 10 },
} as const;

const AUTHORS = Array.from({ length: 10 }, (_, index) => ({ name: `Author ${index}`, born: 1900 + index }));
const ALL = Array.from({ length: 100 }, (_, index) => ({
  id: `book-${index}`,
  title: `The ${index}th book of wings`,
  pages: 100 + index,
  author: AUTHORS[index % AUTHORS.length]!,
}));
const BY_ID = new Map(ALL.map((book) => [book.id, book]));
const TEXT = "A slender wing at high speed carries its lift near the leading edge.";

interface Identified {
  readonly id: string;
}

const query = {
  book: (_root: unknown, { id }: Identified) => BY_ID.get(id),
  books: (_root: unknown, { first }: { readonly first: number }) => ALL.slice(0, first),
};
const reviews = ({ id }: Identified) =>
  [1, 2, 3].map((number) => ({ id: `${id}/${number}`, stars: number, text: TEXT }));
const referTo = ({ id }: Identified) => ({ id });

/** As `composeServices` knows them. */
export type HalfName = "library" | "reviews";

export function schemaOf(name: HalfName | "both"): GraphQLSchema {
  if (name === "both") return toSchema(BOTH, { Query: query, Book: { reviews } });
  return name === "library"
    ? toSchema(BOOKS, { Query: query, Book: { __resolveReference: ({ id }: Identified) => BY_ID.get(id) } })
    : toSchema(REVIEWS, { Book: { __resolveReference: referTo, reviews } });
}

function toSchema(
  sdl: string,
  resolvers: NonNullable<Parameters<typeof buildSubgraphSchema>[0] & { resolvers?: object }>["resolvers"],
) {
  return buildSubgraphSchema([
    { typeDefs: parse(`${LINK} ${sdl}`), ...(resolvers && { resolvers: resolvers as never }) },
  ]);
}

export type Urls = Readonly<Record<HalfName, string>>;

/** The supergraph of both and of who says who may do what. */
export function composeWith(identity: Subgraph, urls: Partial<Urls> = {}): string {
  const halves = (["library", "reviews"] as const).map((name) => ({ name, schema: schemaOf(name), url: urls[name] }));
  const { supergraphSdl, errors } = composeServices(
    [{ ...identity, url: undefined }, ...halves].map(({ name, schema, url = "http://nowhere" }) => ({
      name,
      url,
      typeDefs: parse(printSubgraphSchema(schema)),
    })),
  );
  if (supergraphSdl === undefined) throw new Error(errors?.map(String).join("\n") ?? "nothing was composed");
  return supergraphSdl;
}
