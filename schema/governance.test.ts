import { buildSchema } from "graphql";
import { expect, test } from "vitest";
import {
  acceptedChangesSchema,
  findBreakingChanges,
  findOddPages,
  findRefusedDocuments,
  operationsIn,
} from "./governance.ts";

const released = buildSchema(`type Query { run(id: ID!): String  budget: Int }`);
const REASON = "Nobody has ever been able to ask for it.";

test("what is added breaks nothing", async () => {
  const current = buildSchema(`type Query { run(id: ID!, at: Int): String  budget: Int  more: Int }`);
  expect(await findBreakingChanges(released, current, [])).toEqual([]);
});

test("what is taken away, and what is demanded anew, is named and fails", async () => {
  const current = buildSchema(`type Query { run(id: ID!, at: Int!): String }`);
  expect((await findBreakingChanges(released, current, [])).toSorted()).toEqual([
    expect.stringMatching(/^breaks what is released: .*'at.*\(FIELD_ARGUMENT_ADDED Query\.run\.at\)$/),
    expect.stringMatching(/^breaks what is released: .*'budget'.*\(FIELD_REMOVED Query\.budget\)$/),
  ]);
});

test("a breaking change that was meant passes with its reason, and only while it is one", async () => {
  const accepted = acceptedChangesSchema.parse([{ change: "FIELD_REMOVED Query.budget", reason: REASON }]);
  expect(await findBreakingChanges(released, buildSchema(`type Query { run(id: ID!): String }`), accepted)).toEqual([]);
  expect(await findBreakingChanges(released, released, accepted)).toEqual([
    "accepted-changes.json accepts what is no breaking change: FIELD_REMOVED Query.budget",
  ]);
  expect(acceptedChangesSchema.safeParse([{ change: "FIELD_REMOVED Query.budget", reason: "ok" }]).success).toBe(false);
});

test("a document that is shipped and would be refused is named with its client", () => {
  const documents = new Map([
    ["console@1: Run", `query Run { run(id: "1") }`],
    ["console@1: Old", `query Old { gone }`],
    ["console@1: Broken", `query {`],
  ]);
  expect(findRefusedDocuments(released, documents)).toEqual([
    `refuses what is shipped: console@1: Old: Cannot query field "gone" on type "Query".`,
    expect.stringContaining("refuses what is shipped: console@1: Broken: Syntax Error"),
  ]);
});

test("operations are taken with the fragments that they use, and no others", () => {
  const operations = operationsIn([
    `query A { run(id: "1") ...F }`,
    `fragment F on Query { ...G } fragment G on Query { budget } fragment H on Query { budget }`,
  ]);
  expect(operations.get("A")).toContain("fragment G on Query");
  expect(operations.get("A")).not.toContain("fragment H");
});

test("pages are Relay's", () => {
  const odd = buildSchema(`
    type Query { runs(first: Int!, after: String): [String!]!  all: RunConnection!  good(first: Int!, after: String): GoodConnection!  half(first: Int!, after: String): RunConnection! }
    type RunConnection { nodes: [String!]! }
    type GoodConnection { edges: [String!]!  pageInfo: PageInfo! }
    type PageInfo { hasNextPage: Boolean! }
  `);
  expect(findOddPages(odd)).toEqual([
    `Query.runs: what has "first" gives a Connection, and nothing else does`,
    `Query.all: what has "first" gives a Connection, and nothing else does`,
    `Query.half: a connection takes "after", and has edges and pageInfo`,
  ]);
});
