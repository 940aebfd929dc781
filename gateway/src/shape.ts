import {
  ERRORS,
  isObjectType,
  typenameFieldName,
  type FieldSelection,
  type Operation,
} from "@apollo/federation-internals";
import type { GraphQLError } from "graphql";
import {
  fieldsByTypename,
  type Condition,
  type FieldShape,
  type ListShape,
  type ObjectShape,
  type ValueShape,
} from "./shape-fields.ts";

/**
 * Cuts what a client asked for out of what the subgraphs answered: keys and types that only the plan needed go, what the
 * API hides goes, and a null where none may be takes its parent with it. It decides as @apollo/gateway's `computeResponse`
 * does (`execution.test.ts` compares them), but reads an operation once for each type that its answers have, and not once
 * for each answer: a stream gives the same few types a thousand times.
 */

export type Answered = Readonly<Record<string, unknown>>;
type Variables = Readonly<Record<string, unknown>>;

export interface Shaped {
  readonly data: Record<string, unknown> | null;
  /** What the API's schema does not allow and a subgraph answered all the same. */
  readonly problems: readonly GraphQLError[];
}

/** Answers `__schema` and `__type`: the part of an operation that no subgraph is asked. */
type Introspect = (field: FieldSelection, variables: Variables) => unknown;

export type Shape = (answered: Answered, variables: Variables) => Shaped;

export function compileShape(operation: Operation, introspect: Introspect): Shape {
  const schema = operation.schema();
  const rootType = schema.schemaDefinition.rootType(operation.rootKind);
  if (!rootType) throw new Error(`the API has no ${operation.rootKind}`);
  const fieldsOf = fieldsByTypename(schema, operation.selectionSet, () => rootType);
  const defaults = operation.collectDefaultedVariableValues();
  return (answered, given) => {
    const problems: GraphQLError[] = [];
    const variables = { ...defaults, ...given };
    const work: Work = { variables, introspect, path: [], problems, hasErrors: false, isInvalid: false };
    const data = new Blank();
    const typename = toTypename(answered[typenameFieldName] ?? undefined);
    const whole = fill(fieldsOf(typename) ?? [], answered, data, work);
    return { data: whole ? data : null, problems };
  };
}

/** Has no properties but its own, so that `constructor` and `__proto__` are names like any other; quicker than Object.create(null). */
const Blank = function () {} as unknown as new () => Record<string, unknown>;
Blank.prototype = Object.create(null) as object;

/** One answer being shaped. */
interface Work {
  readonly variables: Variables;
  readonly introspect: Introspect;
  readonly path: (string | number)[];
  readonly problems: GraphQLError[];
  /** Of the value that was shaped last: a problem was noted for it, or below it. */
  hasErrors: boolean;
  /** Of the value that was shaped last: it is null where none may be, so what it is in becomes null. */
  isInvalid: boolean;
}

/** The plan asks for it wherever a type is not certain. */
function toTypename(given: unknown): string | undefined {
  if (given !== undefined && typeof given !== "string") throw new Error("a subgraph gave a __typename that is no text");
  return given === "" ? undefined : given;
}

/** Writes fields into `output`. False when one is null that may not be: then the whole is. */
function fill(fields: readonly FieldShape[], input: Answered, output: Record<string, unknown>, work: Work): boolean {
  for (const field of fields) {
    const { key, content, conditions } = field;
    if (conditions.length > 0 && !conditions.every((condition) => passes(condition, work.variables))) continue;
    if (content.kind === "value") {
      work.path.push(key);
      output[key] = shapeValue(content, output[key], ownValue(input, key), { field, work });
      work.path.pop();
      if (work.isInvalid) return false;
    } else if (output[key] === undefined) {
      const value =
        content.kind === "typename" ? typenameIn(field, input) : work.introspect(content.field, work.variables);
      if (value === undefined && content.kind === "typename") return false;
      output[key] = value;
    }
  }
  return true;
}

function passes({ variable, wanted }: Condition, variables: Variables): boolean {
  const value = variables[variable];
  if (typeof value !== "boolean") throw new Error(`the variable $${variable} of a directive is no boolean`);
  return value === wanted;
}

function ownValue(input: Answered, key: string): unknown {
  return Object.hasOwn(input, key) ? (input[key] ?? null) : null;
}

/** Undefined when it is not certain. */
function typenameIn({ key, parentType }: FieldShape, input: Answered): string | undefined {
  const given = ownValue(input, key) ?? input[typenameFieldName];
  const type = (typeof given === "string" ? parentType.schema().type(given) : undefined) ?? parentType;
  return isObjectType(type) ? type.name : undefined;
}

interface At {
  readonly field: FieldShape;
  readonly work: Work;
}

/** `existing` is what another selection of the same key has given already. */
function shapeValue(shape: ValueShape, existing: unknown, input: unknown, at: At): unknown {
  const { work } = at;
  work.hasErrors = false;
  work.isInvalid = false;
  if (existing === null || (existing !== undefined && !shape.selected)) return existing;
  const value = input === null ? null : shapePresent(shape, existing, input, at);
  if (!shape.nonNull) return value;
  if (value === null && !work.hasErrors) note(`Cannot return null for non-nullable ${describe(shape, at)}.`, at);
  work.hasErrors = work.isInvalid = value === null;
  return value;
}

function shapePresent(shape: ValueShape, existing: unknown, input: unknown, at: At): unknown {
  switch (shape.of.kind) {
    case "leaf":
      if (shape.of.isValid(input)) return input;
      note(`Invalid value found for ${describe(shape, at)}.`, at);
      at.work.hasErrors = true;
      return null;
    case "list":
      return shapeList(shape.of, existing, input, at);
    case "object":
      return shapeObject(shape, shape.of, existing, input, at);
  }
}

function shapeList({ item }: ListShape, existing: unknown, input: unknown, at: At): unknown {
  const { work } = at;
  if (!Array.isArray(input) || (existing !== undefined && (existing as unknown[]).length !== input.length))
    throw new Error(`a subgraph gave something else than the list at ${work.path.join(".")}`);
  let [hasErrors, isInvalid] = [false, false];
  const values = input.map((value: unknown, index) => {
    work.path.push(index);
    const shaped = shapeValue(item, (existing as unknown[] | undefined)?.[index], value, at);
    work.path.pop();
    hasErrors ||= work.hasErrors;
    isInvalid ||= work.isInvalid;
    return shaped;
  });
  work.hasErrors = hasErrors;
  work.isInvalid = false;
  return isInvalid ? null : values;
}

function shapeObject(shape: ValueShape, { fieldsOf }: ObjectShape, existing: unknown, input: unknown, at: At): unknown {
  const { work } = at;
  if (typeof input !== "object" || input === null)
    throw new Error(`a subgraph gave something else than the object at ${work.path.join(".")}`);
  const fields = fieldsOf(toTypename((input as Answered)[typenameFieldName]));
  if (!fields) note(`Invalid __typename found for object at ${describe(shape, at)}.`, at);
  const output = (existing ?? new Blank()) as Record<string, unknown>;
  const whole = fields !== undefined && fill(fields, input as Answered, output, work);
  work.hasErrors = !whole;
  work.isInvalid = false;
  return whole ? output : null;
}

function describe({ type }: ValueShape, { field, work }: At): string {
  const last = work.path.at(-1);
  if (typeof last === "string") return `field ${field.parentType.name}.${last}`;
  return `array element of type ${String(type)} at index ${last}`;
}

function note(message: string, { work }: At): void {
  work.problems.push(ERRORS.INVALID_GRAPHQL.err(message, { path: [...work.path] }));
}
