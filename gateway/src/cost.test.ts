import { buildSchema, getOperationAST, getVariableValues, parse } from "graphql";
import { describe, expect, test } from "vitest";
import { createCosts } from "./cost.ts";
import { readCostRules } from "./cost-rules.ts";

/** By hand from https://ibm.github.io/graphql-specs/cost-spec.html and Apollo's demand control. */

const SDL = `
  directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
  directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
  interface Animal { name: String }
  type Cat implements Animal { name: String kittens: [Cat!] @listSize(assumedSize: 4) }
  type Dog implements Animal { name: String owner: Person }
  type Person { name: String friends(first: Int! = 5, last: Int): PersonConnection @listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false) }
  type PersonConnection { edges: [PersonEdge!] pageInfo: PageInfo }
  type PersonEdge { node: Person }
  type PageInfo { hasNextPage: Boolean }
  type Report @cost(weight: 7) { text: String }
  input Filter { words: [String!] @cost(weight: 2) inner: Filter }
  scalar JSON
  type Query {
    echo(json: JSON): Int
    pets: [Animal]
    person: Person
    people(first: Int, last: Int): [Person] @listSize(slicingArguments: ["first", "last"])
    report: Report
    search(filter: Filter, by: Int @cost(weight: 3)): Int @cost(weight: 20)
  }
  type Mutation { rename: Person }
`;
const schema = buildSchema(SDL);
const costs = createCosts(schema, readCostRules(SDL), 10);

function operationOf(text: string, given: Record<string, unknown> = {}) {
  const document = parse(text);
  const operation = getOperationAST(document)!;
  const { coerced = {} } = getVariableValues(schema, operation.variableDefinitions ?? [], given);
  return { document, operation, variables: coerced };
}

describe("the estimate of", () => {
  test.each<[string, string, number, Record<string, unknown>?]>([
    ["an object is 1, and its scalars nothing", "{ person { name } }", 1],
    ["a list that nothing is known of is the assumed size", "{ pets { name } }", 10],
    ["a list is the size that it is asked for", "{ people(first: 3) { name } }", 3],
    ["a variable is its value", "query($n: Int) { people(first: $n) { name } }", 7, { n: 7 }],
    ["a variable is its default", "query($n: Int = 9) { people(first: $n) { name } }", 9],
    // person 1 + connection 1 + 5 edges of (edge 1 + node 1) + pageInfo 1
    [
      "a connection is the size of its edges",
      "{ person { friends { edges { node { name } } pageInfo { hasNextPage } } } }",
      13,
    ],
    ["a connection is asked for by its argument", "{ person { friends(first: 2) { edges { node { name } } } } }", 6],
    [
      "lists in lists multiply",
      "{ people(last: 3) { friends(first: 2) { edges { node { name } } } } }",
      3 * (1 + 1 + 2 * 2),
    ],
    [
      "an interface is its dearest type",
      "{ pets { ... on Cat { kittens { name } } ... on Dog { owner { name } } } }",
      10 * (1 + 4),
    ],
    ["a type may weigh more", "{ report { text } }", 7],
    [
      "a field and its arguments may weigh more",
      `{ search(by: 1, filter: { words: ["a", "b"], inner: { words: [] } }) }`,
      20 + 3 + 1 + 4 + 1,
    ],
    [
      "what is skipped is nothing",
      "query($yes: Boolean = true) { person @skip(if: $yes) { name } report @include(if: false) { text } }",
      0,
    ],
    [
      "a fragment counts wherever it is spread",
      "{ a: person { ...F } b: person { ...F } } fragment F on Person { friends(first: 1) { edges { node { name } } } }",
      2 * 4,
    ],
    ["a mutation is 10 more", "mutation { rename { name } }", 11],
    ["introspection is nothing", "{ __schema { types { name } } }", 0],
  ])("%s", (_what, text, expected, given) => {
    expect(costs.estimate(operationOf(text, given))).toBe(expected);
  });

  test("a list that needs exactly one size is refused without, and with two", () => {
    for (const text of ["{ people { name } }", "{ people(first: 1, last: 2) { name } }"])
      expect(() => costs.estimate(operationOf(text))).toThrow(
        "Query.people needs exactly one of these arguments: first, last.",
      );
  });
});

describe("variables", () => {
  const echo = (json: unknown) => costs.estimate(operationOf("query($json: JSON) { echo(json: $json) }", { json }));
  const nested = (levels: number, wrap: (inner: unknown) => unknown) =>
    Array.from({ length: levels }).reduce<unknown>((inner) => wrap(inner), 1);

  test.each([
    ["lists", (inner: unknown) => [inner]],
    ["objects", (inner: unknown) => ({ inner })],
  ])("that nest as %s deeper than any subgraph takes are refused, however deep", (_what, wrap) => {
    for (const levels of [100, 20_000])
      expect(() => echo(nested(levels, wrap))).toThrow(
        expect.objectContaining({ code: "INPUT_INVALID", kind: "invalid_input", details: { variable: "json" } }),
      );
    expect(echo(nested(60, wrap))).toBe(0);
  });
});

describe("the actual cost", () => {
  test.each<[string, string, unknown, number]>([
    [
      "is that of the items that came",
      "{ people(first: 100) { name } }",
      { people: [{ name: "a" }, null, { name: "b" }] },
      2,
    ],
    ["is nothing for null", "{ person { friends { edges { node { name } } } } }", { person: null }, 0],
    [
      "follows connections",
      "{ person { friends(first: 50) { edges { node { name } } } } }",
      { person: { friends: { edges: [{ node: {} }] } } },
      4,
    ],
    [
      "follows the type that it was",
      "{ pets { __typename ... on Cat { kittens { name } } ... on Dog { owner { name } } } }",
      {
        pets: [
          { __typename: "Cat", kittens: [{}, {}] },
          { __typename: "Dog", owner: {} },
        ],
      },
      5,
    ],
    [
      "counts a key once where the type is not told",
      "{ pets { ... on Cat { x: kittens { name } } ... on Dog { owner { name } } } }",
      { pets: [{ x: [{}, {}] }] },
      3,
    ],
    ["is the weight that the schema gives", "mutation { rename { name } }", { rename: {} }, 11],
  ])("%s", (_what, text, data, expected) => {
    expect(costs.actual(operationOf(text), data)).toBe(expected);
  });
});
