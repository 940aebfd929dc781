import { createBuilder, toSubgraphSchema } from "@sba/platform/graphql";
import { expect, test } from "vitest";
import { aCaller } from "./fixtures.ts";
import { expectData, expectRefusal } from "./graphql.ts";

const builder = createBuilder();
builder.queryFields((t) => ({
  greeting: t.string({ authScopes: { permission: "tenant:read" }, resolve: () => "hello" }),
}));
const schema = toSubgraphSchema(builder);

test("executes a subgraph's schema with the library that checks it", async () => {
  expect(await expectData(schema, aCaller(), "{ greeting }")).toEqual({ greeting: "hello" });
});

test("shows a refusal as clients see it", async () => {
  expect(await expectRefusal(schema, aCaller({ permissions: [] }), "{ greeting }")).toMatchObject({
    code: "FORBIDDEN",
  });
});

test("reports a document that does not fit the schema", async () => {
  await expect(expectData(schema, aCaller(), "{ goodbye }")).rejects.toThrow(/Cannot query field "goodbye"/);
});
