import {
  defaultTypeResolver,
  getArgumentValues,
  getVariableValues,
  GraphQLError,
  isObjectType,
  locatedError,
  OperationTypeNode,
  responsePathAsArray,
  TypeNameMetaFieldDef,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLAbstractType,
  type GraphQLLeafType,
  type GraphQLObjectType,
  type GraphQLResolveInfo,
  type GraphQLSchema,
} from "graphql";
import { inspect } from "graphql/jsutils/inspect.js";
import { selectionOf, type Selection, type SelectedField, type Shape, type Variables } from "./selection.ts";

/**
 * graphql-js's `execute` for documents that are executed again and again: each event of a stream, each request of a client.
 * It resolves the same fields in the same order with the same arguments, and gives the same data and errors
 * (`prepared-execution.test.ts` compares them, call by call); but what belongs to the document is read once (`selection.ts`), and
 * variables are coerced once for a stream.
 */

export interface Prepared {
  /** As `execute`: with a promise only where a resolver gave one. */
  readonly run: (rootValue: unknown, contextValue: unknown) => ExecutionResult | Promise<ExecutionResult>;
}

interface Preparation {
  readonly document: DocumentNode;
  readonly variables?: Variables | undefined;
  readonly operationName?: string | null | undefined;
}

export function prepareExecution(schema: GraphQLSchema, { document, variables, operationName }: Preparation): Prepared {
  const selection = selectionOf(schema, document, operationName);
  if (selection instanceof GraphQLError) return { run: () => ({ errors: [selection] }) };
  const { errors, coerced } = getVariableValues(
    schema,
    selection.operation.variableDefinitions ?? [],
    variables ?? {},
    {
      maxErrors: MAX_VARIABLE_ERRORS,
    },
  );
  if (errors) return { run: () => ({ errors }) };
  return { run: (rootValue, contextValue) => run(selection, coerced, rootValue, contextValue) };
}

/** As many as graphql-js reports. */
const MAX_VARIABLE_ERRORS = 50;

type MaybePromise<T> = T | Promise<T>;
type Path = GraphQLResolveInfo["path"];
type Data = Record<string, unknown>;

/** One execution. */
interface Work {
  readonly selection: Selection;
  readonly variables: Variables;
  readonly rootValue: unknown;
  readonly contextValue: unknown;
  readonly errors: GraphQLError[];
  /** Where there is an error: below it, in what is null already, others do not count. */
  positions: Set<Path | undefined> | undefined;
}

function run(
  selection: Selection,
  variables: Variables,
  rootValue: unknown,
  contextValue: unknown,
): MaybePromise<ExecutionResult> {
  const work: Work = { selection, variables, rootValue, contextValue, errors: [], positions: undefined };
  try {
    const data = executeRoot(work);
    if (!isPromise(data)) return respond(work, data);
    return data.then(
      (resolved) => respond(work, resolved),
      (error: unknown) => fail(work, error),
    );
  } catch (error) {
    return fail(work, error);
  }
}

function fail(work: Work, error: unknown): ExecutionResult {
  addError(work, error as GraphQLError, undefined);
  return respond(work, null);
}

function respond({ errors }: Work, data: Data | null): ExecutionResult {
  return errors.length === 0 ? { data } : { errors, data };
}

function addError(work: Work, error: GraphQLError, path: Path | undefined): void {
  const positions = (work.positions ??= new Set());
  for (let position = path; position !== undefined; position = position.prev) if (positions.has(position)) return;
  if (positions.has(undefined)) return;
  positions.add(path);
  work.errors.push(error);
}

function executeRoot(work: Work): MaybePromise<Data> {
  const { schema, operation, rootOf } = work.selection;
  const rootType = schema.getRootType(operation.operation);
  if (rootType == null)
    throw new GraphQLError(`Schema is not configured to execute ${operation.operation} operation.`, {
      nodes: operation,
    });
  const fields = rootOf(rootType, work.variables);
  return operation.operation === OperationTypeNode.MUTATION
    ? executeInOrder(work, fields, work.rootValue)
    : executeFields(work, fields, work.rootValue, undefined);
}

/** Has no properties but its own, as `Object.create(null)`, which is slow to fill and to print. */
const Blank = function () {} as unknown as new () => Data;
Blank.prototype = Object.create(null) as object;

function executeInOrder(work: Work, fields: readonly SelectedField[], source: unknown): MaybePromise<Data> {
  let results: MaybePromise<Data> = new Blank();
  for (const field of fields) {
    const next = (into: Data): MaybePromise<Data> => {
      const result = executeField(work, field, source, toPath(undefined, field));
      if (isPromise(result))
        return result.then((resolved) => {
          into[field.key] = resolved;
          return into;
        });
      into[field.key] = result;
      return into;
    };
    results = isPromise(results) ? results.then(next) : next(results);
  }
  return results;
}

function toPath(prev: Path | undefined, { key, parentType }: SelectedField): Path {
  return { prev, key, typename: parentType.name };
}

function executeFields(
  work: Work,
  fields: readonly SelectedField[],
  source: unknown,
  path: Path | undefined,
): MaybePromise<Data> {
  const results = new Blank();
  let containsPromise = false;
  try {
    for (const field of fields) {
      const result = executeField(work, field, source, toPath(path, field));
      results[field.key] = result;
      if (isPromise(result)) containsPromise = true;
    }
  } catch (error) {
    // What the others promised may be broken as well, and somebody has to hear it.
    if (!containsPromise) throw error;
    return settled(results).finally(() => {
      throw error;
    });
  }
  return containsPromise ? settled(results) : results;
}

function settled(results: Data): Promise<Data> {
  return Promise.all(Object.values(results)).then((values) => {
    const resolved = new Blank();
    for (const [index, key] of Object.keys(results).entries()) resolved[key] = values[index];
    return resolved;
  });
}

function executeField(work: Work, field: SelectedField, source: unknown, path: Path): unknown {
  if (field.definition === TypeNameMetaFieldDef) return field.parentType.name;
  const { shape, resolve } = field;
  const info = infoOf(work, field, path);
  try {
    const result: unknown = resolve(source, argumentsOf(work, field), work.contextValue, info);
    const at: At = { work, field, info, path };
    const completed = isPromise(result)
      ? result.then((resolved) => complete(shape, resolved, at))
      : complete(shape, result, at);
    if (!isPromise(completed)) return completed;
    return completed.then(undefined, (error: unknown) => handleError(shape, error, at));
  } catch (error) {
    return handleError(shape, error, { work, field, info, path });
  }
}

function infoOf({ selection, variables, rootValue }: Work, field: SelectedField, path: Path): GraphQLResolveInfo {
  const { definition, nodes, parentType } = field;
  const { schema, fragments, operation } = selection;
  return {
    fieldName: definition.name,
    fieldNodes: nodes,
    returnType: definition.type,
    parentType,
    path,
    schema,
    fragments,
    rootValue,
    operation,
    variableValues: variables,
  };
}

function argumentsOf({ variables }: Work, { definition, nodes, constantArguments }: SelectedField): Data {
  return constantArguments ? { ...constantArguments } : getArgumentValues(definition, nodes[0]!, variables);
}

/** The field that a value is completed for, and where the value stands: in a list, further down than its field. */
interface At {
  readonly work: Work;
  readonly field: SelectedField;
  readonly info: GraphQLResolveInfo;
  readonly path: Path;
}

/** Where null may be, the error is noted and null it is; otherwise it goes up. */
function handleError(shape: Shape, raw: unknown, { work, field, path }: At): null {
  const error = locatedError(raw, field.nodes, responsePathAsArray(path));
  if (shape.kind === "nonNull") throw error;
  addError(work, error, path);
  return null;
}

function complete(shape: Shape, result: unknown, at: At): unknown {
  if (result instanceof Error) throw result;
  if (shape.kind === "nonNull") {
    const completed = complete(shape.of, result, at);
    if (completed === null) throw new Error(`Cannot return null for non-nullable field ${nameOf(at)}.`);
    return completed;
  }
  if (result === null || result === undefined) return null;
  switch (shape.kind) {
    case "leaf":
      return serialize(shape.type, result);
    case "list":
      return completeList(shape.of, result, at);
    case "object":
      return completeObject(shape.type, result, at);
    case "abstract":
      return completeAbstract(shape.type, result, at);
  }
}

function nameOf({ info }: At): string {
  return `${info.parentType.name}.${info.fieldName}`;
}

function serialize(type: GraphQLLeafType, result: unknown): unknown {
  const serialized: unknown = type.serialize(result);
  if (serialized === null || serialized === undefined)
    throw new Error(
      `Expected \`${inspect(type)}.serialize(${inspect(result)})\` to return non-nullable value, returned: ${inspect(serialized)}`,
    );
  return serialized;
}

function completeList(itemShape: Shape, result: unknown, at: At): MaybePromise<unknown[]> {
  if (!isIterable(result)) throw new GraphQLError(`Expected Iterable, but did not find one for field "${nameOf(at)}".`);
  const promises: Promise<unknown>[] = [];
  try {
    const items = Array.from(result, (item, index) => {
      const completed = completeItem(itemShape, item, {
        ...at,
        path: { prev: at.path, key: index, typename: undefined },
      });
      if (isPromise(completed)) promises.push(completed);
      return completed;
    });
    return promises.length > 0 ? Promise.all(items) : items;
  } catch (error) {
    // What the others promised may be broken as well, and somebody has to hear it.
    void Promise.allSettled(promises);
    throw error;
  }
}

function completeItem(shape: Shape, item: unknown, at: At): unknown {
  try {
    const completed = isPromise(item)
      ? item.then((resolved) => complete(shape, resolved, at))
      : complete(shape, item, at);
    if (!isPromise(completed)) return completed;
    return completed.then(undefined, (error: unknown) => handleError(shape, error, at));
  } catch (error) {
    return handleError(shape, error, at);
  }
}

function completeAbstract(type: GraphQLAbstractType, result: unknown, at: At): MaybePromise<Data> {
  const { contextValue } = at.work;
  const resolveType = type.resolveType ?? defaultTypeResolver;
  const found: unknown = resolveType(result, contextValue, at.info, type);
  return isPromise(found)
    ? found.then((name) => completeObject(runtimeTypeOf(type, name, result, at), result, at))
    : completeObject(runtimeTypeOf(type, found, result, at), result, at);
}

function runtimeTypeOf(type: GraphQLAbstractType, found: unknown, result: unknown, at: At): GraphQLObjectType {
  const { nodes } = at.field;
  if (found === null || found === undefined)
    throw new GraphQLError(
      `Abstract type "${type.name}" must resolve to an Object type at runtime for field "${nameOf(at)}". Either the "${type.name}" type should provide a "resolveType" function or each possible type should provide an "isTypeOf" function.`,
      { nodes },
    );
  if (typeof found !== "string")
    throw new GraphQLError(
      `Abstract type "${type.name}" must resolve to an Object type at runtime for field "${nameOf(at)}" with value ${inspect(result)}, received "${inspect(found)}".`,
    );
  const { schema } = at.work.selection;
  const runtimeType = schema.getType(found);
  if (!runtimeType)
    throw new GraphQLError(
      `Abstract type "${type.name}" was resolved to a type "${found}" that does not exist inside the schema.`,
      { nodes },
    );
  if (!isObjectType(runtimeType))
    throw new GraphQLError(`Abstract type "${type.name}" was resolved to a non-object type "${found}".`, { nodes });
  if (!schema.isSubType(type, runtimeType))
    throw new GraphQLError(`Runtime Object type "${found}" is not a possible type for "${type.name}".`, { nodes });
  return runtimeType;
}

function completeObject(type: GraphQLObjectType, result: unknown, at: At): MaybePromise<Data> {
  const { work, field, info, path } = at;
  const fields = field.fieldsOf(type, work.variables);
  if (!type.isTypeOf) return executeFields(work, fields, result, path);
  const isOfType = type.isTypeOf(result, work.contextValue, info);
  if (isPromise(isOfType))
    return isOfType.then((resolved) => {
      if (!resolved) throw notOfType(type, result, at);
      return executeFields(work, fields, result, path);
    });
  if (!isOfType) throw notOfType(type, result, at);
  return executeFields(work, fields, result, path);
}

function notOfType(type: GraphQLObjectType, result: unknown, { field }: At): GraphQLError {
  return new GraphQLError(`Expected value of type "${type.name}" but got: ${inspect(result)}.`, { nodes: field.nodes });
}

function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return typeof (value as Promise<T> | null | undefined)?.then === "function";
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && typeof (value as Iterable<unknown> | null)?.[Symbol.iterator] === "function";
}
