import { readFile } from "node:fs/promises";
import { useSecretKey } from "@sba/platform/secrets";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { getOperationAST, parse } from "graphql";
import { expect, test } from "vitest";
import { readContract, type Contract } from "./contract.ts";
import { loadGraph } from "./graph.ts";
import { post, serve } from "./testing.ts";
import { createWorld } from "./world.testing.ts";

useDatabase();

/** What partners are given, of the supergraph as it is. */

const sdl = await readFile(new URL("../../schema/supergraph.graphql", import.meta.url), "utf8");
const { schema, contract } = loadGraph(sdl) as { schema: Parameters<typeof readContract>[1]; contract: Contract };

test("has what is tagged for partners, what comes with it, and no more", () => {
  expect(Object.keys(contract.schema.getQueryType()!.getFields()).toSorted()).toEqual(["me", "usage"]);
  expect(contract.schema.getMutationType()).toBeUndefined();
  expect(contract.schema.getType("UsageConnection")).toBeDefined();
  expect(contract.schema.getType("Run")).toBeUndefined();
  expect(Object.keys((contract.schema.getType("Tenant") as { getFields(): object }).getFields()).toSorted()).toEqual([
    "id",
    "name",
    "plan",
  ]);
});

test("is for programs that may do nothing beyond it", () => {
  const who = (principalKind: "USER" | "API_KEY", permissions: readonly ("usage:read" | "run:read")[]) =>
    contract.isFor({ ...aCaller(), principalKind, permissions: new Set(permissions) });
  expect(who("API_KEY", ["usage:read"])).toBe(true);
  expect(who("API_KEY", ["usage:read", "run:read"])).toBe(false);
  expect(who("USER", ["usage:read"])).toBe(false);
  expect(contract.isFor(undefined)).toBe(false);
});

test("names what an operation asks for beyond it", () => {
  const beyond = (text: string) => contract.beyond(parse(text), getOperationAST(parse(text))!);
  expect(beyond("{ me { id tenant { name } } __typename }")).toEqual([]);
  expect(beyond("{ me { tenant { name plan { key } suspension { reason } } } budgets { id } }")).toEqual(
    expect.arrayContaining(["Tenant.suspension", "Query.budgets"]),
  );
});

test("is not there where nothing is tagged for it", () => {
  expect(readContract(sdl, schema, "nobody")).toBeUndefined();
});

test("is all that a partner's key sees and reaches", async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  const world = await createWorld();
  const served = await serve(world, "in process");
  const ask = (query: string, key = world.join(["usage:read"], { apiKey: true }).apiKey) => post(served, key, query);
  expect((await ask("{ ledger }")).body).toEqual({ data: { ledger: 7 } });
  const beyond = await ask("{ whoAmI }");
  expect([beyond.status, beyond.body.errors?.[0]?.extensions]).toEqual([
    403,
    expect.objectContaining({ reason: "FIELD_NOT_IN_CONTRACT", details: { coordinates: ["Query.whoAmI"] } }),
  ]);
  const FIELDS = "{ __schema { queryType { fields { name } } } }";
  expect((await ask(FIELDS)).body.data).toEqual({ __schema: { queryType: { fields: [{ name: "ledger" }] } } });
  const whole = await ask(FIELDS, world.join(["run:read"], { apiKey: true }).apiKey);
  expect(JSON.stringify(whole.body.data)).toContain("story");
  await served.close();
});
