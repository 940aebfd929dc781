import { buildSubgraphSchema } from "@apollo/subgraph";
import { dice, pick, type Roll } from "@sba/testkit/operations";
import {
  execute,
  GraphQLError,
  isAbstractType,
  isEnumType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  parse,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLOutputType,
  type GraphQLSchema,
} from "graphql";
import type { LinkOperation } from "./forward.ts";

/**
 * For the comparison of our execution with Apollo's: subgraphs that answer anything their schemas allow, and now and then
 * what they do not. All of it follows from a seed.
 */

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
