import type { Permission } from "@sba/platform/permissions";
import { aCaller } from "@sba/testkit/fixtures";
import { buildSchema, parse, type OperationDefinitionNode } from "graphql";
import { expect, test } from "vitest";
import { findRefusal, readRequirements } from "./enforce.ts";

/** A supergraph as composition prints it, in the parts that are read. */
const SDL = `
  directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE
  directive @requiresScopes(scopes: [[String!]!]!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | ENUM | SCALAR
  directive @policy on FIELD_DEFINITION
  type Query {
    open: String
    mine: String @authenticated
    runs: Run @requiresScopes(scopes: [["run:read"]])
    either: String @requiresScopes(scopes: [["run:read"], ["usage:read", "audit:read"]])
    both: String @requiresScopes(scopes: [["run:read"]]) @requiresScopes(scopes: [["usage:read"]])
    node: Node
    any: Any
    secret: Secret
  }
  type Mutation { change: String @requiresScopes(scopes: [["run:start"]]) }
  interface Node { id: ID! }
  type Run implements Node { id: ID! cost: Int @requiresScopes(scopes: [["usage:read"]]) next: Run }
  type Audit implements Node { id: ID! @requiresScopes(scopes: [["audit:read"]]) }
  type Secret @requiresScopes(scopes: [["tenant:manage"]]) { word: String }
  union Any = Run | Secret
`;
const schema = buildSchema(SDL);
const requirements = readRequirements(SDL, schema);

function refusalOf(query: string, permissions: readonly Permission[] | undefined, operation = 0) {
  const document = parse(query);
  const definition = document.definitions[operation] as OperationDefinitionNode;
  return findRefusal(requirements.of(document, definition), permissions && aCaller({ permissions }));
}

test.each<[string, readonly Permission[] | undefined]>([
  ["{ open }", undefined],
  ["{ mine }", []],
  ["{ runs { id } }", ["run:read"]],
  ["{ runs { cost } }", ["run:read", "usage:read"]],
  ["{ either }", ["run:read"]],
  ["{ either }", ["usage:read", "audit:read"]],
  ["{ both }", ["run:read", "usage:read"]],
  ["{ node { __typename } }", undefined],
  ["{ node { ... on Run { id } } }", undefined],
])("lets %s pass with %j", (query, permissions) => {
  expect(refusalOf(query, permissions)).toBeUndefined();
});

test.each(["{ mine }", "{ runs { id } }", "mutation { change }", "{ open mine }", "{ secret { word } }"])(
  "asks a stranger who wants %s for credentials",
  (query) => {
    expect(refusalOf(query, undefined)).toMatchObject({ code: "CREDENTIALS_MISSING", kind: "unauthenticated" });
  },
);

test.each<[string, readonly Permission[], readonly Permission[]]>([
  ["{ runs { id } }", [], ["run:read"]],
  ["{ runs { cost } }", ["run:read"], ["usage:read"]],
  ["{ runs { next { next { renamed: cost } } } }", ["run:read"], ["usage:read"]],
  ["{ runs { ...F } } fragment F on Run { ...G } fragment G on Run { cost }", ["run:read"], ["usage:read"]],
  ["{ either }", ["usage:read"], ["run:read"]],
  ["{ both }", ["run:read"], ["usage:read"]],
  ["{ runs { id } both }", [], ["run:read", "usage:read"]],
  ["{ node { ... on Run { cost } } }", [], ["usage:read"]],
  // What any implementation of an interface's field demands, the field demands.
  ["{ node { id } }", [], ["audit:read"]],
  ["{ secret { __typename } }", [], ["tenant:manage"]],
  ["{ any { ... on Run { id } } }", [], ["tenant:manage"]],
  ["mutation { change }", ["run:read"], ["run:start"]],
])("refuses %s to who has %j, and names %j", (query, held, missing) => {
  expect(refusalOf(query, held)).toMatchObject({ code: "PERMISSION_MISSING", details: { permissions: missing } });
});

test("judges the operation that runs, not its neighbours and their fragments", () => {
  const query = "query A { open } query B { runs { ...F } } fragment F on Run { cost }";
  expect(refusalOf(query, [], 0)).toBeUndefined();
  expect(refusalOf(query, [], 1)).toMatchObject({ details: { permissions: ["run:read", "usage:read"] } });
});

test("refuses to serve a supergraph with a demand that it would not enforce", () => {
  const sdl = SDL.replace("open: String", "open: String @policy");
  expect(() => readRequirements(sdl, buildSchema(sdl))).toThrow("Query.open: this gateway does not enforce @policy");
});
