import {
  assertValidSchema,
  defaultFieldResolver,
  getArgumentValues,
  getOperationAST,
  GraphQLError,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  SchemaMetaFieldDef,
  TypeMetaFieldDef,
  TypeNameMetaFieldDef,
  visit,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLAbstractType,
  type GraphQLField,
  type GraphQLFieldResolver,
  type GraphQLLeafType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from "graphql";
import { collectFields, collectSubfields } from "graphql/execution/collectFields.js";

/**
 * What graphql-js finds out about a document each time that it executes it, found out once: the fields of each type, their
 * resolvers, their arguments where these are constant, and what a value of their type goes through. See `prepared-execution.ts`.
 */

export interface Selection {
  readonly schema: GraphQLSchema;
  readonly operation: OperationDefinitionNode;
  readonly fragments: Readonly<Record<string, FragmentDefinitionNode>>;
  /** The fields at the root, when the directives' variables have these values. */
  readonly rootOf: (rootType: GraphQLObjectType, variables: Variables) => readonly SelectedField[];
}

export type Variables = Readonly<Record<string, unknown>>;

/** All nodes of one response key on one type, under given values of the directives' variables. */
export interface SelectedField {
  readonly key: string;
  readonly nodes: readonly FieldNode[];
  readonly parentType: GraphQLObjectType;
  readonly definition: GraphQLField<unknown, unknown>;
  readonly resolve: GraphQLFieldResolver<unknown, unknown>;
  readonly shape: Shape;
  /** Undefined when they have to be coerced for each execution. */
  readonly constantArguments: Variables | undefined;
  /** What is selected of the field's object when it is of this type. */
  readonly fieldsOf: (type: GraphQLObjectType, variables: Variables) => readonly SelectedField[];
}

export type Shape =
  | { readonly kind: "nonNull"; readonly of: Shape }
  | { readonly kind: "list"; readonly of: Shape }
  | { readonly kind: "leaf"; readonly type: GraphQLLeafType }
  | { readonly kind: "abstract"; readonly type: GraphQLAbstractType }
  | { readonly kind: "object"; readonly type: GraphQLObjectType };

const known = new WeakMap<GraphQLSchema, WeakMap<DocumentNode, Map<string, Selection | GraphQLError>>>();

/** The operation of a document, or why it cannot be executed. Documents are not changed: what is found out stays. */
export function selectionOf(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
): Selection | GraphQLError {
  const ofSchema = known.get(schema) ?? new WeakMap<DocumentNode, Map<string, Selection | GraphQLError>>();
  known.set(schema, ofSchema);
  const ofDocument = ofSchema.get(document) ?? new Map<string, Selection | GraphQLError>();
  ofSchema.set(document, ofDocument);
  const name = JSON.stringify(operationName ?? null);
  const existing = ofDocument.get(name);
  if (existing) return existing;
  const made = read(schema, document, operationName);
  ofDocument.set(name, made);
  return made;
}

function read(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
): Selection | GraphQLError {
  assertValidSchema(schema);
  const operation = getOperationAST(document, operationName);
  if (!operation) return new GraphQLError(whyNone(document, operationName));
  const fragments = Object.create(null) as Record<string, FragmentDefinitionNode>;
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments[definition.name.value] = definition;
  const reading: Reading = { schema, fragments, switches: switchesIn(document) };
  const rootOf = remember(reading, (type, variables) =>
    collectFields(schema, fragments, variables, type, operation.selectionSet),
  );
  return { schema, operation, fragments, rootOf };
}

function whyNone(document: DocumentNode, operationName: string | null | undefined): string {
  if (operationName != null) return `Unknown operation named "${operationName}".`;
  return document.definitions.some(({ kind }) => kind === Kind.OPERATION_DEFINITION)
    ? "Must provide operation name if query contains multiple operations."
    : "Must provide an operation.";
}

interface Reading {
  readonly schema: GraphQLSchema;
  readonly fragments: Readonly<Record<string, FragmentDefinitionNode>>;
  /** The variables that decide which fields there are. */
  readonly switches: readonly string[];
}

function switchesIn(document: DocumentNode): readonly string[] {
  const found = new Set<string>();
  visit(document, {
    Directive: (directive) => {
      visit(directive, {
        Variable: ({ name }) => {
          found.add(name.value);
        },
      });
    },
  });
  return [...found];
}

type Collect = (type: GraphQLObjectType, variables: Variables) => ReadonlyMap<string, readonly FieldNode[]>;

/** Collected once for each type, and for each setting of the directives' variables. */
function remember(reading: Reading, collect: Collect): SelectedField["fieldsOf"] {
  const bySetting = new Map<string, Map<GraphQLObjectType, readonly SelectedField[]>>();
  const only = new Map<GraphQLObjectType, readonly SelectedField[]>();
  const setting = (variables: Variables): Map<GraphQLObjectType, readonly SelectedField[]> => {
    if (reading.switches.length === 0) return only;
    const key = reading.switches.map((name) => String(variables[name])).join();
    const existing = bySetting.get(key) ?? new Map<GraphQLObjectType, readonly SelectedField[]>();
    // Valid documents have booleans there; whatever else is given does not grow this.
    if (bySetting.size < MAX_SETTINGS) bySetting.set(key, existing);
    return existing;
  };
  return (type, variables) => {
    const byType = setting(variables);
    const existing = byType.get(type);
    if (existing) return existing;
    const made = [...collect(type, variables)].flatMap(([key, nodes]) => toField(reading, type, key, nodes) ?? []);
    byType.set(type, made);
    return made;
  };
}

const MAX_SETTINGS = 64;

function toField(
  reading: Reading,
  parentType: GraphQLObjectType,
  key: string,
  nodes: readonly FieldNode[],
): SelectedField | undefined {
  const { schema, fragments } = reading;
  const [first] = nodes;
  const definition = first && definitionOf(schema, parentType, first.name.value);
  // What the type does not have is left out of the result: validation has refused it before.
  if (!definition) return undefined;
  return {
    key,
    nodes,
    parentType,
    definition,
    resolve: definition.resolve ?? defaultFieldResolver,
    shape: shapeOf(definition.type),
    constantArguments: constantArguments(definition, first),
    fieldsOf: remember(reading, (type, variables) => collectSubfields(schema, fragments, variables, type, nodes)),
  };
}

function definitionOf(
  schema: GraphQLSchema,
  parentType: GraphQLObjectType,
  name: string,
): GraphQLField<unknown, unknown> | undefined {
  if (name === TypeNameMetaFieldDef.name) return TypeNameMetaFieldDef;
  if (parentType === schema.getQueryType()) {
    if (name === SchemaMetaFieldDef.name) return SchemaMetaFieldDef;
    if (name === TypeMetaFieldDef.name) return TypeMetaFieldDef;
  }
  return parentType.getFields()[name];
}

function shapeOf(type: GraphQLOutputType): Shape {
  if (isNonNullType(type)) return { kind: "nonNull", of: shapeOf(type.ofType as GraphQLOutputType) };
  if (isListType(type)) return { kind: "list", of: shapeOf(type.ofType) };
  if (isLeafType(type)) return { kind: "leaf", type };
  return isObjectType(type) ? { kind: "object", type } : { kind: "abstract", type };
}

/** Only what no resolver can change for the next one: plain values, written in the document or the schema's defaults. */
function constantArguments(definition: GraphQLField<unknown, unknown>, node: FieldNode): Variables | undefined {
  if (definition.args.length === 0) return {};
  if (usesVariables(node)) return undefined;
  try {
    const values = getArgumentValues(definition, node);
    return Object.values(values).every((value) => typeof value !== "object" || value === null) ? values : undefined;
  } catch {
    // The error belongs to the field, each time that it is executed.
    return undefined;
  }
}

function usesVariables(node: FieldNode): boolean {
  let found = false;
  for (const argument of node.arguments ?? [])
    visit(argument, {
      Variable: () => {
        found = true;
      },
    });
  return found;
}
