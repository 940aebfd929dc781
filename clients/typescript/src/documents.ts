import {
  Kind,
  print,
  type DocumentNode,
  type FieldNode,
  type OperationDefinitionNode,
  type SelectionNode,
} from "graphql";

/** What the client has to know of the documents that it sends. */

const printed = new WeakMap<DocumentNode, string>();

/** The document as text; printed once. */
export function textOf(document: DocumentNode): string {
  const known = printed.get(document);
  if (known !== undefined) return known;
  const text = print(document);
  printed.set(document, text);
  return text;
}

export function operationOf(document: DocumentNode): OperationDefinitionNode {
  const operation = document.definitions.find((each) => each.kind === Kind.OPERATION_DEFINITION);
  if (!operation) throw new TypeError("The document holds no operation.");
  return operation;
}

export function declaresVariable(document: DocumentNode, name: string): boolean {
  return (operationOf(document).variableDefinitions ?? []).some(({ variable }) => variable.name.value === name);
}

/** Which query lists the same events as a subscription, and after which of them there is nothing more. */
export interface EventLog {
  readonly field: string;
  readonly last: readonly string[];
}

export interface PollDocument {
  readonly document: DocumentNode;
  /** Under which name the subscription gives its event. */
  readonly responseKey: string;
  readonly last: readonly string[];
}

const name = (value: string) => ({ kind: Kind.NAME, value }) as const;
const field = (value: string, selections?: readonly SelectionNode[]): FieldNode => ({
  kind: Kind.FIELD,
  name: name(value),
  ...(selections ? { selectionSet: { kind: Kind.SELECTION_SET, selections } } : {}),
});

/** `{ __typename }`: whether anybody answers. */
export const ANY_QUERY: DocumentNode = {
  kind: Kind.DOCUMENT,
  definitions: [
    {
      kind: Kind.OPERATION_DEFINITION,
      operation: "query" as OperationDefinitionNode["operation"],
      selectionSet: { kind: Kind.SELECTION_SET, selections: [field("__typename")] },
    },
  ],
};

/** The query that reads what a subscription would send: the same selection of the same events, a page at a time. */
export function pollDocumentOf(
  document: DocumentNode,
  logs: Readonly<Record<string, EventLog>>,
): PollDocument | undefined {
  const operation = operationOf(document);
  const [root] = operation.selectionSet.selections;
  if (root?.kind !== Kind.FIELD) return undefined;
  const log = logs[root.name.value];
  if (!log) return undefined;
  const page = field(log.field, [
    field("edges", [field("node", [field("__typename"), ...(root.selectionSet?.selections ?? [])])]),
    field("pageInfo", [field("endCursor"), field("hasNextPage")]),
  ]);
  const polling: OperationDefinitionNode = {
    ...operation,
    operation: "query" as OperationDefinitionNode["operation"],
    selectionSet: {
      kind: Kind.SELECTION_SET,
      selections: [{ ...page, alias: name("log"), ...(root.arguments ? { arguments: root.arguments } : {}) }],
    },
  };
  return {
    document: { ...document, definitions: document.definitions.map((each) => (each === operation ? polling : each)) },
    responseKey: root.alias?.value ?? root.name.value,
    last: log.last,
  };
}
