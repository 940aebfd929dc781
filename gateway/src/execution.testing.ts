import { createHash } from "node:crypto";
import { buildSubgraphSchema } from "@apollo/subgraph";
import type { LinkOperation } from "./forward.ts";
import type { Graph } from "./graph.ts";
import {
  execute,
  getNamedType,
  GraphQLError,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  parse,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLArgument,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLOutputType,
  type GraphQLSchema,
} from "graphql";

/**
 * For the comparison of our execution with Apollo's: operations that nobody wrote, and subgraphs that answer anything their
 * schemas allow, and now and then what they do not. All of it follows from a seed.
 */

/** Numbers from 0 to 1 that follow from a text. */
export function dice(seed: string): () => number {
  let state = createHash("sha256").update(seed).digest().readUInt32LE(0);
  // mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

type Roll = () => number;

function pick<T>(roll: Roll, items: readonly T[]): T {
  return items[Math.floor(roll() * items.length)]!;
}

// Operations

/** Boolean variables that the directives of an operation use. */
export const SWITCHES = "$on: Boolean!, $off: Boolean!, $default: Boolean! = true";

interface Writing {
  readonly schema: GraphQLSchema;
  readonly roll: Roll;
  readonly fragments: string[];
}

/** A valid operation with aliases, fragments, directives and introspection, as text. */
export function writeOperation(graph: Graph, seed: string, kind: "query" | "subscription"): string {
  const { schema } = graph;
  const root = kind === "query" ? schema.getQueryType() : schema.getSubscriptionType();
  if (!root) throw new Error(`the schema has no ${kind}`);
  for (let attempt = 0; ; attempt++) {
    const writing: Writing = { schema, roll: dice(`${seed}/${attempt}`), fragments: [] };
    const field =
      kind === "query" ? undefined : writeField(writing, pick(writing.roll, Object.values(root.getFields())), 4);
    const selections = field ?? writeSelections(writing, root, 5);
    const text = withUsedSwitches(`${kind} Generated(${SWITCHES}) { ${selections} } ${writing.fragments.join(" ")}`);
    if (isUsable(graph, text)) return text;
  }
}

/** Valid, and within what the planner can do: it knows no way to introspection that stands in a fragment. */
function isUsable({ schema, planOf }: Graph, text: string): boolean {
  const document = parse(text);
  try {
    if (validate(schema, document).length > 0) return false;
    planOf(document, undefined);
    return true;
  } catch {
    return false;
  }
}

/** A variable that nobody uses is not valid. */
function withUsedSwitches(text: string): string {
  const used = SWITCHES.split(", ").filter((each) => text.includes(`if: ${each.split(":")[0]!}`));
  return text.replace(`(${SWITCHES})`, used.length === 0 ? "" : `(${used.join(", ")})`);
}

function writeSelections(writing: Writing, type: GraphQLCompositeType, depth: number): string {
  const { roll, schema } = writing;
  const fields = "getFields" in type ? Object.values(type.getFields()) : [];
  const usable = fields.filter((field) => depth > 1 || isLeafType(getNamedType(field.type)));
  const written = ["__typename", ...Array.from({ length: 1 + Math.floor(roll() * 4) }, () => writeAny(usable))];
  if (roll() < 0.6) written.shift();
  if (roll() < 0.1) written.push("kind: __typename");
  if (type === schema.getQueryType() && roll() < 0.2)
    written.push(`__type(name: "Money") { name kind fields { name } }`);
  return written.filter(Boolean).join(" ") || "__typename";

  function writeAny(candidates: readonly GraphQLField<unknown, unknown>[]): string {
    if (depth > 0 && (candidates.length === 0 || roll() < 0.3)) return writeFragment(writing, type, depth - 1);
    return candidates.length === 0 ? "" : writeField(writing, pick(roll, candidates), depth);
  }
}

function writeField(writing: Writing, field: GraphQLField<unknown, unknown>, depth: number): string {
  const { roll } = writing;
  const type = getNamedType(field.type);
  const selections = isCompositeType(type) ? ` { ${writeSelections(writing, type, depth - 1)} }` : "";
  const given = field.args.filter((arg) => isNonNullType(arg.type) && arg.defaultValue === undefined);
  const args = given.length === 0 ? "" : `(${given.map((arg) => writeArgument(arg)).join(", ")})`;
  const alias = roll() < 0.15 ? pick(roll, [`${field.name}_too: `, `toString: `, `other: `, `id: `]) : "";
  return `${alias}${field.name}${args}${writeDirective(roll)}${selections}`;
}

function writeFragment(writing: Writing, type: GraphQLCompositeType, depth: number): string {
  const { roll, schema, fragments } = writing;
  const interfaces = "getInterfaces" in type ? type.getInterfaces() : [];
  const narrower = isAbstractType(type) ? schema.getPossibleTypes(type) : [type];
  const condition = pick(roll, [...narrower, ...narrower, ...interfaces, type]);
  const selections = `{ ${writeSelections(writing, condition, depth)} }`;
  const directive = writeDirective(roll);
  if (condition === type && roll() < 0.3) return `...${directive} ${selections}`;
  if (roll() < 0.5) return `... on ${condition.name}${directive} ${selections}`;
  const name = `Part${fragments.length}`;
  fragments.push(`fragment ${name} on ${condition.name} ${selections}`);
  return `...${name}${directive}`;
}

function writeDirective(roll: Roll): string {
  if (roll() > 0.12) return "";
  return ` ${pick(roll, ["@skip", "@include"])}(if: ${pick(roll, ["$on", "$off", "$default", "true", "false"])})`;
}

function writeArgument({ name, type }: GraphQLArgument): string {
  return `${name}: ${writeValue(type)}`;
}

function writeValue(type: GraphQLInputType): string {
  if (isNonNullType(type)) return writeValue(type.ofType);
  if (isListType(type)) return `[${writeValue(type.ofType)}]`;
  if (isEnumType(type)) return type.getValues()[0]!.name;
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter(
      (field) => isNonNullType(field.type) && field.defaultValue === undefined,
    );
    return `{ ${fields.map((field) => `${field.name}: ${writeValue(field.type)}`).join(", ")} }`;
  }
  const literals: Readonly<Record<string, string>> = { Int: "3", Float: "1.5", Boolean: "true" };
  return literals[type.name] ?? `"2026-11-21T10:00:00Z"`;
}

// Subgraphs

export type AnySubgraph = (operation: LinkOperation) => Promise<ExecutionResult>;

export interface Behaviour {
  readonly seed: string;
  /** How likely an answer is one that the schema forbids. */
  readonly corrupt: number;
  /** The type of the event that a subscription's own fetch is answered with. */
  readonly eventType?: string;
}

const schemas = new Map<string, GraphQLSchema>();

function schemaOf(sdl: string): GraphQLSchema {
  const schema = schemas.get(sdl) ?? buildSubgraphSchema(parse(sdl));
  schemas.set(sdl, schema);
  return schema;
}

/** A subgraph of this SDL whose answers follow from the question and the seed alone. */
export function anySubgraph(sdl: string, { seed, corrupt, eventType }: Behaviour): AnySubgraph {
  const schema = schemaOf(sdl);
  const documents = new Map<string, DocumentNode>();
  return async ({ query, variables, operationName }) => {
    const document = documents.get(query) ?? parse(query);
    documents.set(query, document);
    const roll = dice(`${seed}/${query}/${JSON.stringify(variables)}`);
    const result = await execute({
      schema,
      document,
      variableValues: variables,
      operationName,
      fieldResolver: (source: Record<string, unknown>, _args, _context, info) => {
        const given = source?.[info.fieldName];
        const isEvent = info.parentType === schema.getSubscriptionType();
        return given ?? anyValue(roll, schema, info.returnType, isEvent ? eventType : undefined);
      },
    });
    if (result.data && roll() < corrupt) spoil(roll, result.data);
    return JSON.parse(JSON.stringify(result), reviveErrors) as ExecutionResult;
  };
}

function reviveErrors(key: string, value: unknown): unknown {
  if (key !== "errors" || !Array.isArray(value)) return value;
  return value.map(
    ({ message, path, extensions }: GraphQLError) => new GraphQLError(message, { path: path ?? null, extensions }),
  );
}

function anyValue(roll: Roll, schema: GraphQLSchema, type: GraphQLOutputType, typename?: string): unknown {
  if (isNonNullType(type)) return anyPresent(roll, schema, type.ofType as GraphQLOutputType, typename);
  const luck = roll();
  if (luck < 0.1) return null;
  if (luck < 0.13)
    throw new GraphQLError("a subgraph's error", { extensions: { code: "CONFLICT", reason: "SOME_REASON" } });
  if (luck < 0.15) throw new GraphQLError("an error without a code");
  return anyPresent(roll, schema, type, typename);
}

function anyPresent(roll: Roll, schema: GraphQLSchema, type: GraphQLOutputType, typename?: string): unknown {
  if (isListType(type)) {
    const item = type.ofType as GraphQLOutputType;
    return Array.from({ length: Math.floor(roll() * 4) }, () =>
      isNonNullType(item) || roll() > 0.1
        ? anyPresent(roll, schema, isNonNullType(item) ? (item.ofType as GraphQLOutputType) : item)
        : null,
    );
  }
  if (isEnumType(type)) return pick(roll, type.getValues()).value;
  if (isAbstractType(type)) return { __typename: typename ?? pick(roll, schema.getPossibleTypes(type)).name };
  if (isObjectType(type)) return { __typename: type.name };
  const numbers: Readonly<Record<string, unknown>> = {
    Int: Math.floor(roll() * 100),
    Float: roll(),
    Boolean: roll() < 0.5,
  };
  if (!isLeafType(type)) throw new Error("a list in a list");
  if (type.name === "JSON") return pick<unknown>(roll, [{ a: [1, { b: null }] }, "text", 7, []]);
  return numbers[type.name] ?? `${type.name} ${Math.floor(roll() * 1000)}`;
}

type Spoiled = Record<string, unknown>;

/** Breaks one place of an answer, in a way that no executor of the subgraph would. */
function spoil(roll: Roll, data: Spoiled): void {
  const objects: Spoiled[] = [];
  const collect = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(collect);
    else if (typeof value === "object" && value !== null) {
      objects.push(value as Spoiled);
      Object.values(value).forEach(collect);
    }
  };
  collect(data);
  const object = pick(roll, objects);
  const key = pick(roll, Object.keys(object));
  const wrong = [null, null, 12.5, "WRONG", true, undefined, {}, [null], [{}], { __typename: "Nobody" }];
  object[key] =
    key === "__typename" ? pick(roll, ["Nobody", undefined, null, "Query", ""]) : pick<unknown>(roll, wrong);
}
