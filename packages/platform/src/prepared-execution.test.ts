import { dice, pick, writeOperation, type Roll } from "@sba/testkit/operations";
import {
  buildSchema,
  execute,
  isAbstractType,
  isEnumType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  parse,
  responsePathAsArray,
  type ExecutionResult,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
} from "graphql";
import { describe, expect, test } from "vitest";
import { prepareExecution } from "./prepared-execution.ts";

/**
 * Our execution against graphql-js's: the same schema, whose resolvers do whatever resolvers may, and now and then what they
 * may not. Every difference in what is called, with what and in which order, and in what comes out, is a failure.
 */

const SDL = `
  type Query { item(id: ID = "one"): Item items(first: Int! = 3, kind: Kind!): [Item] must: Item! matrix: [[Int!]]! shape: Shape shapes: [Shape!] thing: Thing things: [Thing] odd: Odd text(input: Filter!): String }
  type Mutation { one(n: Int!): Item two: Item! three: [Item!] four: Int }
  type Subscription { events(after: String): Event ticks: Int! must: Event! }
  type Item { id: ID! name: String size(unit: String! = "m", kind: Kind): Float kind: Kind kinds: [Kind!] odd: Odd! parent: Item children: [Item!]! shape: Shape things: [Thing!] plain: String method(times: Int = 2): String }
  interface Shape { id: ID! area: Float item: Item }
  type Circle implements Shape { id: ID! area: Float item: Item radius: Int! }
  type Square implements Shape { id: ID! area: Float item: Item side: Int }
  type Line { length: Int! shape: Shape! }
  union Thing = Circle | Line | Item
  interface Event { seq: Int! at: Odd }
  type Told implements Event { seq: Int! at: Odd text: String! item: Item }
  type Ended implements Event { seq: Int! at: Odd moral: Item! }
  enum Kind { GOOD BAD }
  input Filter { kind: Kind! text: String = "all" }
  scalar Odd
`;

/** What resolvers find: where they are decides what they do, so that both executions meet the same. */
interface World {
  readonly seed: string;
  readonly calls: string[];
}

const MAYBE_TYPES = ["Circle", "Square", "Told", "Ended", "Item", "Line"];

function givenSchema(): GraphQLSchema {
  const schema = buildSchema(SDL);
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith("__")) continue;
    if (isObjectType(type)) addResolvers(type);
    if (isObjectType(type) && ["Circle", "Line"].includes(type.name))
      type.isTypeOf = (_value, world: World, info) => luckOf(world, info, type.name, 0.95);
    // Things are told by isTypeOf and __typename, the others by this.
    if (isAbstractType(type) && type.name !== "Thing") {
      const possible = schema.getPossibleTypes(type).map(({ name }) => name);
      type.resolveType = (_value, world: World, info) => anyTypeName(world, info, possible);
    }
    if (type.name === "Odd" && isLeafType(type)) type.serialize = (value) => (value === 13 ? null : value);
  }
  return schema;
}

function addResolvers(type: GraphQLObjectType): void {
  for (const field of Object.values(type.getFields())) {
    // These are left to graphql-js's own: a property, and a method.
    if (field.name === "plain" || field.name === "method") continue;
    field.resolve = (source: unknown, args, world: World, info) => {
      const roll = rollOf(world, info, "resolve");
      world.calls.push(describeCall(source, args, info));
      return anyOutcome(roll, () => anyValue(roll, info.schema, field.type));
    };
  }
}

function rollOf(world: World, { path, fieldName }: GraphQLResolveInfo, what: string): Roll {
  return dice(`${world.seed}/${responsePathAsArray(path).join(".")}/${fieldName}/${what}`);
}

function describeCall(source: unknown, args: object, info: GraphQLResolveInfo): string {
  const { fieldName, parentType, path, returnType, fieldNodes, fragments, rootValue, operation, variableValues } = info;
  return JSON.stringify({
    call: `${parentType.name}.${fieldName}: ${String(returnType)}`,
    path: responsePathAsArray(path),
    typename: path.typename,
    source: JSON.stringify(source),
    args,
    nodes: fieldNodes.map(({ loc }) => loc?.start),
    fragments: Object.keys(fragments),
    rootValue,
    operation: operation.name?.value,
    variableValues,
    others: Object.keys(info).length,
  });
}

function luckOf(world: World, info: GraphQLResolveInfo, what: string, chance: number): boolean | Promise<boolean> {
  const roll = rollOf(world, info, what);
  const lucky = roll() < chance;
  return roll() < 0.5 ? lucky : later(roll, () => lucky);
}

function anyTypeName(world: World, info: GraphQLResolveInfo, possible: readonly string[]): never {
  const roll = rollOf(world, info, "resolveType");
  const luck = roll();
  const names: readonly unknown[] = luck > 0.15 ? possible : [...MAYBE_TYPES, "Nobody", "Kind", undefined, 7];
  return anyOutcome(roll, () => pick(roll, names)) as never;
}

/** A value, a promise of it, an error, or a promise of that. */
function anyOutcome(roll: Roll, value: () => unknown): unknown {
  const luck = roll();
  if (luck < 0.05) throw new Error(`thrown ${Math.floor(roll() * 100)}`);
  // Values that are errors, and what is not one but thrown.
  if (luck < 0.08) return new Error("an error as a value");
  if (luck < 0.1) throw { name: "not an error" } as unknown as Error;
  if (luck < 0.14)
    return later(roll, () => {
      throw new Error(`rejected ${Math.floor(roll() * 100)}`);
    });
  return luck < 0.5 ? later(roll, value) : value();
}

async function later<T>(roll: Roll, value: () => T): Promise<T> {
  for (let ticks = Math.floor(roll() * 6); ticks > 0; ticks--) await Promise.resolve();
  return value();
}

function anyValue(roll: Roll, schema: GraphQLSchema, type: GraphQLOutputType): unknown {
  const luck = roll();
  if (isNonNullType(type)) return luck < 0.03 ? null : anyValue(roll, schema, type.ofType as GraphQLOutputType);
  if (luck < 0.08) return pick(roll, [null, undefined]);
  if (luck < 0.11) return pick<unknown>(roll, [{}, [], "text", 7, Number.NaN, Symbol.iterator, () => 1, new Map()]);
  if (isListType(type)) return anyList(roll, schema, type.ofType);
  if (isEnumType(type)) return pick(roll, ["GOOD", "BAD"]);
  if (isLeafType(type))
    return type.name === "Odd" ? pick<unknown>(roll, [13, 1, "x", { a: [1] }]) : pick(roll, [1, 2, 3]);
  const name = isAbstractType(type) ? pick(roll, schema.getPossibleTypes(type)).name : type.name;
  const typename = roll() < 0.7 ? { __typename: name } : {};
  return {
    ...typename,
    plain: pick(roll, ["a property", undefined, null]),
    method: ({ times }: { times: number }) => "m".repeat(times),
  };
}

function anyList(roll: Roll, schema: GraphQLSchema, itemType: GraphQLOutputType): unknown {
  // graphql-js forgets the promises of a list when an item that may not be null fails at once: nobody hears them fail.
  const promised = isNonNullType(itemType) ? 1 : 0.3;
  const items = Array.from({ length: Math.floor(roll() * 4) }, (): unknown =>
    roll() < promised ? later(roll, () => anyValue(roll, schema, itemType)) : anyValue(roll, schema, itemType),
  );
  return roll() < 0.2 ? new Set(items) : items;
}

const schema = givenSchema();
const VARIABLES = [
  { on: true, off: false },
  { on: false, off: true, default: false },
  { on: true, off: false, default: null },
  { on: "yes" },
  {},
];

interface Outcome {
  readonly result: ExecutionResult;
  readonly calls: readonly string[];
}

type Execute = (world: World, rootValue: unknown) => ExecutionResult | Promise<ExecutionResult>;

async function observe(seed: string, run: Execute): Promise<Outcome & { readonly atOnce: boolean }> {
  const world: World = { seed, calls: [] };
  const given = run(world, { plain: "root" });
  const result = await given;
  // What stands below a null is still resolved when the result is there.
  await new Promise((resolve) => setImmediate(resolve));
  return { result, calls: world.calls, atOnce: !("then" in given) };
}

/** To the order of the keys, with all that an error holds. */
function shown({ result: { data, errors }, calls, ...rest }: Outcome): string {
  const described = errors?.map((error) => [error.toJSON(), error.nodes?.length, String(error.originalError)]);
  return JSON.stringify({ data, errors: described, calls, ...rest }, undefined, 1);
}

async function compare(text: string, seed: string, variables: Record<string, unknown>): Promise<void> {
  const document = parse(text);
  const theirs = await observe(seed, (contextValue, rootValue) =>
    execute({ schema, document, variableValues: variables, rootValue, contextValue }),
  );
  const prepared = prepareExecution(schema, { document, variables });
  for (const _again of [1, 2]) {
    const ours = await observe(seed, (contextValue, rootValue) => prepared.run(rootValue, contextValue));
    expect(shown(ours), `${text}\n${seed} ${JSON.stringify(variables)}`).toBe(shown(theirs));
  }
}

describe("a prepared execution", () => {
  const portions = Array.from({ length: 8 }, (_, portion) => portion);

  test.each(portions)("does and answers what graphql-js does, portion %i", async (portion) => {
    for (const kind of ["query", "mutation", "subscription"] as const) {
      for (let index = 0; index < 12; index++) {
        const text = writeOperation(schema, `${kind} ${portion} ${index}`, kind);
        for (const [setting, variables] of VARIABLES.entries())
          await compare(text, `${portion}/${index}/${setting}`, variables);
      }
    }
  });

  test("says what graphql-js says of documents that cannot be executed", async () => {
    for (const text of ["fragment F on Item { id }", "query A { odd } query B { odd }", "{ odd }"]) {
      for (const operationName of [undefined, "A", "Nobody"]) {
        const document = parse(text);
        const theirs = await execute({ schema, document, operationName, contextValue: { seed: text, calls: [] } });
        const ours = await prepareExecution(schema, { document, operationName }).run(undefined, {
          seed: text,
          calls: [],
        });
        expect(JSON.stringify(ours)).toBe(JSON.stringify(theirs));
      }
    }
  });

  test("hears every promise of a list of which one item fails at once", async () => {
    const failing = buildSchema("type Query { numbers: [Int!] }");
    const prepared = prepareExecution(failing, { document: parse("{ numbers }") });
    const numbers = [Promise.reject(new Error("later")), null];
    const { data, errors } = await prepared.run({ numbers }, {});
    // What nobody heard would be reported of this file.
    await new Promise((resolve) => setImmediate(resolve));
    expect([data, errors?.map(({ message }) => message)]).toEqual([
      { numbers: null },
      ["Cannot return null for non-nullable field Query.numbers."],
    ]);
  });

  test("has no properties in its data but the fields", async () => {
    const document = parse(`{ __proto__: ticks constructor: ticks toString: ticks }`);
    const plain = buildSchema("type Query { ticks: Int }");
    const { data } = await prepareExecution(plain, { document }).run({ ticks: 1 }, {});
    expect(JSON.stringify(data)).toBe(`{"__proto__":1,"constructor":1,"toString":1}`);
  });

  test("gives each resolver arguments of its own", async () => {
    const seen: unknown[] = [];
    const rootValue = {
      size: (args: Record<string, unknown>) => {
        seen.push({ ...args });
        args["unit"] = "spoiled";
      },
    };
    const measured = buildSchema(`type Query { size(unit: String = "m"): Int }`);
    const prepared = prepareExecution(measured, { document: parse("{ size }") });
    await prepared.run(rootValue, {});
    await prepared.run(rootValue, {});
    expect(seen).toEqual([{ unit: "m" }, { unit: "m" }]);
  });
});
