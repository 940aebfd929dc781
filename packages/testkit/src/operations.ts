import { createHash } from "node:crypto";
import type { OperationTypeNode } from "graphql";
import {
  getNamedType,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  parse,
  validate,
  type DocumentNode,
  type GraphQLArgument,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLSchema,
} from "graphql";

/**
 * Operations that nobody wrote, for comparing two ways of execution: with aliases, fragments, directives and introspection, all
 * following from a seed.
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

export type Roll = () => number;

export function pick<T>(roll: Roll, items: readonly T[]): T {
  return items[Math.floor(roll() * items.length)]!;
}

/** Boolean variables that the directives of an operation use. */
export const SWITCHES = "$on: Boolean!, $off: Boolean!, $default: Boolean! = true";

interface Writing {
  readonly schema: GraphQLSchema;
  readonly roll: Roll;
  readonly fragments: string[];
}

/**
 * A valid operation with aliases, fragments, directives and introspection, as text; `isUsable` may refuse some.
 * Fields need no more arguments than scalars, enums and simple inputs.
 */
export function writeOperation(
  schema: GraphQLSchema,
  seed: string,
  kind: `${OperationTypeNode}`,
  isUsable: (document: DocumentNode) => boolean = () => true,
): string {
  const root = schema.getRootType(kind as OperationTypeNode);
  if (!root) throw new Error(`the schema has no ${kind}`);
  for (let attempt = 0; ; attempt++) {
    const writing: Writing = { schema, roll: dice(`${seed}/${attempt}`), fragments: [] };
    const selections =
      kind === "subscription"
        ? writeField(writing, pick(writing.roll, Object.values(root.getFields())), 4)
        : writeSelections(writing, root, 5);
    const text = withUsedSwitches(`${kind} Generated(${SWITCHES}) { ${selections} } ${writing.fragments.join(" ")}`);
    if (isValid(schema, text) && isUsable(parse(text))) return text;
  }
}

function isValid(schema: GraphQLSchema, text: string): boolean {
  try {
    return validate(schema, parse(text)).length === 0;
  } catch {
    // A directive on a subscription's own field: graphql-js would need its variables to count the fields.
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
