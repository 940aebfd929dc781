import { OperationTypeNode, parse, print, separateOperations, type DocumentNode } from "graphql";

/** The operations that the clients send, as they are written: the contract of the API. */

export interface SavedOperation {
  readonly name: string;
  readonly type: OperationTypeNode;
  /** With the fragments that it uses. */
  readonly text: string;
}

/** Of several documents, which may use each other's fragments; by name. */
export function operationsOf(texts: readonly string[]): readonly SavedOperation[] {
  const whole: DocumentNode = { ...parse("{ none }"), definitions: texts.flatMap((text) => parse(text).definitions) };
  return Object.entries(separateOperations(whole))
    .map(([name, document]) => ({ name, type: typeOf(document), text: print(document) }))
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** The one that is meant, with its fragments. @throws GraphQLError of what is no GraphQL */
export function operationIn(
  text: string,
  name: string | undefined,
): { document: DocumentNode; type: OperationTypeNode } {
  const documents = separateOperations(parse(text));
  const document = (name === undefined ? undefined : documents[name]) ?? Object.values(documents)[0] ?? parse(text);
  return { document, type: typeOf(document) };
}

function typeOf({ definitions }: DocumentNode): OperationTypeNode {
  const operation = definitions.find((definition) => definition.kind === "OperationDefinition");
  return operation?.kind === "OperationDefinition" ? operation.operation : OperationTypeNode.QUERY;
}
