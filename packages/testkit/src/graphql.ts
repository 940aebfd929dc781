import type { Caller } from "@sba/platform/caller";
import { executeInProcess, subscribeInProcess, type OperationRequest } from "@sba/platform/execute";
import {
  parse,
  validate,
  type DocumentNode,
  type ExecutionResult,
  type GraphQLError,
  type GraphQLSchema,
} from "graphql";

/** Operations against one subgraph in this process, with the same execution, errors and contexts as when it serves. */

type Variables = Readonly<Record<string, unknown>>;

/** Data of an operation; the test knows its shape from the document that it wrote. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a document written in a test has no generated type
export type Data = any;

/** Executes and returns what a client would receive, errors included. An invalid document throws. */
export async function execute(
  schema: GraphQLSchema,
  caller: Caller | undefined,
  source: string,
  variables: Variables = {},
): Promise<ExecutionResult<Data>> {
  return executeInProcess(schema, { document: parseFor(schema, source), variables }, requestOf(caller));
}

/** Executes and returns the data. @throws Error with every error, path and extension printed, when there are any. */
export async function expectData(
  schema: GraphQLSchema,
  caller: Caller | undefined,
  source: string,
  variables: Variables = {},
): Promise<Data> {
  const result = await execute(schema, caller, source, variables);
  expectNoErrors(result);
  return result.data;
}

/** Executes an operation that must be refused and returns the extensions of its only error. */
export async function expectRefusal(
  schema: GraphQLSchema,
  caller: Caller | undefined,
  source: string,
  variables: Variables = {},
): Promise<GraphQLError["extensions"]> {
  const result = await execute(schema, caller, source, variables);
  if (result.errors?.length !== 1) throw new Error(`one error was expected, but the answer was ${print(result)}`);
  return result.errors[0]!.extensions;
}

/** The events of a subscription, until `isLast` is true of one or the stream ends. */
export async function collectEvents(
  schema: GraphQLSchema,
  caller: Caller,
  source: string,
  variables: Variables = {},
  isLast: (data: Data) => boolean = () => false,
): Promise<Data[]> {
  const document = parseFor(schema, source);
  const events: Data[] = [];
  for await (const result of subscribeInProcess(schema, { document, variables }, requestOf(caller))) {
    expectNoErrors(result);
    events.push(result.data);
    if (isLast(result.data)) break;
  }
  return events;
}

function requestOf(caller: Caller | undefined): OperationRequest {
  return { caller, requestId: caller?.requestId ?? "test-anonymous" };
}

function parseFor(schema: GraphQLSchema, source: string): DocumentNode {
  const document = parse(source);
  const problems = validate(schema, document);
  if (problems.length > 0) throw new Error(`the document is not valid:\n${problems.map(String).join("\n")}`);
  return document;
}

export function expectNoErrors(result: ExecutionResult): void {
  if (result.errors?.length) throw new Error(`the operation failed: ${print(result)}`);
}

function print(result: ExecutionResult): string {
  const showBigInt = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);
  return JSON.stringify(result, showBigInt, 2);
}
