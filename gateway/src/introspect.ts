import type { FieldSelection } from "@apollo/federation-internals";
import {
  executeSync,
  Kind,
  OperationTypeNode,
  visit,
  type GraphQLSchema,
  type SelectionNode,
  type VariableDefinitionNode,
} from "graphql";

interface Given {
  readonly variableDefinitions: readonly VariableDefinitionNode[] | undefined;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Answers one `__schema` or `__type` of an operation, which no subgraph is asked for. @throws when it fails. */
export function introspect(
  schema: GraphQLSchema,
  field: FieldSelection,
  { variableDefinitions, variables }: Given,
): unknown {
  const selection = field.expandFragments().toSelectionNode();
  const used = variablesIn(selection);
  const { data, errors } = executeSync({
    schema,
    document: {
      kind: Kind.DOCUMENT,
      definitions: [
        {
          kind: Kind.OPERATION_DEFINITION,
          operation: OperationTypeNode.QUERY,
          variableDefinitions: variableDefinitions?.filter(({ variable }) => used.has(variable.name.value)) ?? [],
          selectionSet: { kind: Kind.SELECTION_SET, selections: [selection] },
        },
      ],
    },
    variableValues: variables,
  });
  if (errors) throw new Error("an introspection failed", { cause: errors[0] });
  return data?.[field.element.responseName()];
}

function variablesIn(selection: SelectionNode): ReadonlySet<string> {
  const used = new Set<string>();
  visit(selection, {
    Variable: ({ name }) => {
      used.add(name.value);
    },
  });
  return used;
}
