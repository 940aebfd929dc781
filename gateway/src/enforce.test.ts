import { composeServices } from "@apollo/composition";
import type { Permission } from "@sba/platform/permissions";
import { aCaller } from "@sba/testkit/fixtures";
import { buildSchema, parse, type OperationDefinitionNode } from "graphql";
import { expect, test } from "vitest";
import { findRefusal, readRequirements } from "./enforce.ts";
import { loadGraph } from "./graph.ts";

/** A supergraph as composition prints it, in the parts that are read. */
const SDL = `
  directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE
  directive @requiresScopes(scopes: [[String!]!]!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | ENUM | SCALAR
  directive @policy(policies: [[String!]!]!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | ENUM | SCALAR
  type Query {
    open: String
    mine: String @authenticated
    runs: Run @requiresScopes(scopes: [["run:read"]])
    either: String @requiresScopes(scopes: [["run:read"], ["usage:read", "audit:read"]])
    both: String @requiresScopes(scopes: [["run:read"]]) @requiresScopes(scopes: [["usage:read"]])
    node: Node
    any: Any
    secret: Secret
    judged: Judged
    level: Level
    nobody: String @policy(policies: [])
    watched: String @requiresScopes(scopes: [["run:read"]]) @policy(policies: [["auditor"]])
  }
  type Mutation @policy(policies: [["writer"]]) { change: String @requiresScopes(scopes: [["run:start"]]) }
  type Judged @policy(policies: [["a", "b"], ["c"]]) { word: String @policy(policies: [["d"]]) }
  enum Level @policy(policies: [["leveller"]]) { LOW HIGH }
  interface Node { id: ID! }
  type Run implements Node { id: ID! cost: Int @requiresScopes(scopes: [["usage:read"]]) next: Run }
  type Audit implements Node { id: ID! @requiresScopes(scopes: [["audit:read"]]) }
  type Secret @requiresScopes(scopes: [["tenant:manage"]]) { word: String }
  union Any = Run | Secret
`;
const schema = buildSchema(SDL);
const requirements = readRequirements(SDL, schema);

function refusalOf(
  query: string,
  permissions: readonly Permission[] | undefined,
  { operation = 0, policies = ["writer"] }: { readonly operation?: number; readonly policies?: readonly string[] } = {},
) {
  const document = parse(query);
  const definition = document.definitions[operation] as OperationDefinitionNode;
  const caller = permissions && { ...aCaller({ permissions }), policies: new Set(policies) };
  return findRefusal(requirements.of(document, definition), caller);
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
  expect(refusalOf(query, [])).toBeUndefined();
  expect(refusalOf(query, [], { operation: 1 })).toMatchObject({
    details: { permissions: ["run:read", "usage:read"] },
  });
});

test.each<[string, readonly string[]]>([
  ["{ judged { __typename } }", ["a", "b"]],
  ["{ judged { __typename } }", ["c"]],
  ["{ judged { word } }", ["c", "d"]],
  ["{ level }", ["leveller"]],
  ["{ watched }", ["auditor"]],
  ["mutation { __typename }", []],
])("lets %s pass when %j hold", (query, policies) => {
  expect(refusalOf(query, ["run:read"], { policies })).toBeUndefined();
});

test.each<[string, readonly string[], readonly string[]]>([
  ["{ judged { __typename } }", [], ["a", "b"]],
  ["{ judged { __typename } }", ["b", "d"], ["a"]],
  ["{ judged { word } }", ["a", "b"], ["d"]],
  ["{ judged { word } level }", [], ["a", "b", "d", "leveller"]],
  ["{ nobody }", ["a", "b", "c", "d"], []],
  ["mutation { change }", [], ["writer"]],
])("refuses %s when only %j hold, and names %j", (query, policies, missing) => {
  expect(refusalOf(query, ["run:start"], { policies })).toMatchObject({
    code: "POLICY_MISSING",
    kind: "permission_denied",
    details: { policies: missing },
  });
});

test("asks for the permission first, and strangers for credentials", () => {
  expect(refusalOf("{ watched }", [])).toMatchObject({ details: { permissions: ["run:read"] } });
  expect(refusalOf("{ judged { word } }", undefined)).toMatchObject({ code: "CREDENTIALS_MISSING" });
});

test("knows the directives under whatever names they were imported", () => {
  const graph = loadGraph(composeRenamed());
  expect([...graph.requirements.policies]).toEqual(["p"]);
  const document = parse("{ judged scoped mine }");
  const demands = graph.requirements.of(document, document.definitions[0] as OperationDefinitionNode);
  expect(demands.map(({ coordinate }) => coordinate)).toEqual(["Query.judged", "Query.scoped", "Query.mine"]);
});

function composeRenamed(): string {
  const imported = ["policy", "requiresScopes", "authenticated"].map(
    (name) => `{ name: "@${name}", as: "@${name}Here" }`,
  );
  const typeDefs = parse(`
    extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: [${imported.join(", ")}])
    type Query {
      judged: String @policyHere(policies: [["p"]])
      scoped: String @requiresScopesHere(scopes: [["run:read"]])
      mine: String @authenticatedHere
    }`);
  const { supergraphSdl = "" } = composeServices([{ name: "renamed", url: "", typeDefs }]);
  return supergraphSdl;
}
