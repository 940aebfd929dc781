import type { FetchNode } from "@apollo/query-planner";
import {
  getNamedType,
  isInterfaceType,
  isObjectType,
  Kind,
  parse,
  parseType,
  print,
  valueFromASTUntyped,
  visit,
  type ASTNode,
  type DocumentNode,
  type ExecutionResult,
  type FieldNode,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type TypeNode,
} from "graphql";
import type { StreamCursor } from "./fan-out.ts";

/**
 * The fetch that opens a subscription at its owner, made resumable: its `after` becomes a variable of ours and every event
 * brings its `cursor`, whether the client asked for it or not. Fields without both stay as they are.
 */
export interface PrimaryFetch {
  readonly subgraph: string;
  readonly query: string;
  readonly document: DocumentNode;
  readonly operationName: string | undefined;
  readonly resumable: boolean;
  readonly variables: (given: Readonly<Record<string, unknown>>, after: StreamCursor) => Record<string, unknown>;
  /** The cursor that the client starts after. */
  readonly startOf: (coerced: Readonly<Record<string, unknown>>) => StreamCursor;
  /** Where the stream goes on after an event. The field is ours: shaping the result leaves it out. */
  readonly cursorOf: (event: ExecutionResult) => string | undefined;
}

const AFTER_VARIABLE = "sba_after";
const CURSOR_ALIAS = "sba_cursor";

export function toPrimaryFetch(schema: GraphQLSchema, node: FetchNode): PrimaryFetch {
  const document = node.operationDocumentNode ?? parse(node.operation);
  const operation = document.definitions.find(
    (each): each is OperationDefinitionNode => each.kind === Kind.OPERATION_DEFINITION,
  );
  const field = operation?.selectionSet.selections[0];
  const afterType = field?.kind === Kind.FIELD ? afterTypeOf(schema, field) : undefined;
  if (!operation || field?.kind !== Kind.FIELD || !afterType) return plainFetch(node, document);
  return resumableFetch(node, document, operation, field, afterType);
}

/** The type of a field's `after` argument, when what the field gives has a `cursor`. */
function afterTypeOf(schema: GraphQLSchema, field: FieldNode): TypeNode | undefined {
  const definition = schema.getSubscriptionType()?.getFields()[field.name.value];
  const after = definition?.args.find(({ name }) => name === "after");
  const result = definition && getNamedType(definition.type);
  const hasCursor = (isObjectType(result) || isInterfaceType(result)) && "cursor" in result.getFields();
  return after && hasCursor ? parseType(String(after.type)) : undefined;
}

function plainFetch(node: FetchNode, document: DocumentNode): PrimaryFetch {
  return {
    subgraph: node.serviceName,
    query: node.operation,
    document,
    operationName: node.operationName,
    resumable: false,
    variables: (given) => pick(given, node.variableUsages ?? []),
    startOf: () => undefined,
    cursorOf: () => undefined,
  };
}

function resumableFetch(
  node: FetchNode,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  field: FieldNode,
  afterType: TypeNode,
): PrimaryFetch {
  const given = (argument: string) => field.arguments?.find(({ name }) => name.value === argument);
  const valueOf = (argument: string, coerced: Readonly<Record<string, unknown>>): unknown => {
    const node = given(argument);
    return node && valueFromASTUntyped(node.value, coerced);
  };
  const resumable = withAfterVariable(document, operation, field, afterType);
  const used = usedVariables(resumable);
  const names = (node.variableUsages ?? []).filter((name) => used.has(name));
  const responseKey = (field.alias ?? field.name).value;
  return {
    subgraph: node.serviceName,
    query: print(resumable),
    document: resumable,
    operationName: node.operationName,
    resumable: true,
    variables: (variables, after) => ({
      ...pick(variables, names),
      // Without it, its owner looks where the consumer has come to.
      ...(typeof after === "string" || after === null ? { [AFTER_VARIABLE]: after } : {}),
    }),
    startOf: (coerced) => {
      const value = valueOf("after", coerced);
      if (typeof value === "string") return value;
      const consumer = valueOf("consumer", coerced);
      if (typeof consumer === "string") return { consumer };
      return value === null ? null : undefined;
    },
    cursorOf: (event) => cursorIn(event.data?.[responseKey]),
  };
}

function withAfterVariable(
  document: DocumentNode,
  operation: OperationDefinitionNode,
  field: FieldNode,
  afterType: TypeNode,
): DocumentNode {
  const after = { kind: Kind.VARIABLE, name: { kind: Kind.NAME, value: AFTER_VARIABLE } } as const;
  const cursor: FieldNode = {
    kind: Kind.FIELD,
    alias: { kind: Kind.NAME, value: CURSOR_ALIAS },
    name: { kind: Kind.NAME, value: "cursor" },
  };
  const rewritten: FieldNode = {
    ...field,
    arguments: [
      ...(field.arguments ?? []).filter(({ name }) => name.value !== "after"),
      { kind: Kind.ARGUMENT, name: { kind: Kind.NAME, value: "after" }, value: after },
    ],
    selectionSet: { kind: Kind.SELECTION_SET, selections: [cursor, ...(field.selectionSet?.selections ?? [])] },
  };
  const changed: OperationDefinitionNode = {
    ...operation,
    selectionSet: { kind: Kind.SELECTION_SET, selections: [rewritten] },
  };
  const fragments = document.definitions.filter((each) => each !== operation);
  const used = usedVariables({ kind: Kind.DOCUMENT, definitions: [changed, ...fragments] });
  // A variable that only `after` used would be refused as unused.
  const kept = (operation.variableDefinitions ?? []).filter(({ variable }) => used.has(variable.name.value));
  const variableDefinitions = [...kept, { kind: Kind.VARIABLE_DEFINITION, variable: after, type: afterType } as const];
  return { kind: Kind.DOCUMENT, definitions: [{ ...changed, variableDefinitions }, ...fragments] };
}

/** The variables that a client's subscription depends on, its cursor aside: two with equal ones see the same events. */
export function streamVariables(document: DocumentNode): ReadonlySet<string> {
  const withoutAfter = (node: FieldNode): FieldNode => ({
    ...node,
    arguments: (node.arguments ?? []).filter(({ name }) => name.value !== "after"),
  });
  const definitions = document.definitions.map((definition) =>
    definition.kind !== Kind.OPERATION_DEFINITION
      ? definition
      : {
          ...definition,
          selectionSet: {
            ...definition.selectionSet,
            selections: definition.selectionSet.selections.map((each) =>
              each.kind === Kind.FIELD ? withoutAfter(each) : each,
            ),
          },
        },
  );
  return usedVariables({ kind: Kind.DOCUMENT, definitions });
}

function usedVariables(node: ASTNode): ReadonlySet<string> {
  const used = new Set<string>();
  visit(node, {
    VariableDefinition: () => false,
    Variable: ({ name }) => {
      used.add(name.value);
    },
  });
  return used;
}

export function pick(values: Readonly<Record<string, unknown>>, names: Iterable<string>): Record<string, unknown> {
  return Object.fromEntries(
    [...names].filter((name) => Object.hasOwn(values, name)).map((name) => [name, values[name]]),
  );
}

function cursorIn(event: unknown): string | undefined {
  if (typeof event !== "object" || event === null || !(CURSOR_ALIAS in event)) return undefined;
  const cursor = event[CURSOR_ALIAS];
  return typeof cursor === "string" ? cursor : undefined;
}
