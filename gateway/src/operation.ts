import { AppError, httpStatusOf, httpStatusOfCode, platformErrors } from "@sba/platform/errors";
import { toGraphQLError } from "@sba/platform/graphql-errors";
import {
  executeSync,
  getOperationAST,
  getVariableValues,
  Kind,
  OperationTypeNode,
  visit,
  type DocumentNode,
  type ExecutionResult,
  type OperationDefinitionNode,
} from "graphql";
import { beyondContract } from "./contract.ts";
import type { CostedOperation } from "./cost.ts";
import { findRefusal } from "./enforce.ts";
import { errors, presentGatewayError, retryHeaders, toShownError } from "./errors.ts";
import type { GatewayContext, SubgraphLinks } from "./forward.ts";
import type { Graph } from "./graph.ts";
import { rootFieldsOf } from "./limits.ts";
import { countOperation } from "./metrics.ts";
import { runPlan } from "./plan-run.ts";
import type { Tolls } from "./tolls.ts";

/**
 * A query or mutation, from its validated document to its answer, whichever way it came: what the caller may not do is refused, what
 * it may cost is charged, its plan is run. What it did not cost is given back, and both are told in `extensions.cost`.
 */

/** Who may read the schema: `members` are all who have said who they are. */
export type Introspection = "everyone" | "members" | "nobody";

export interface OperationOptions {
  readonly subgraphs: SubgraphLinks;
  readonly tolls: Tolls;
  readonly introspection: Introspection;
}

export interface AskedOperation {
  readonly graph: Graph;
  /** Valid for the graph. */
  readonly document: DocumentNode;
  readonly operationName: string | null | undefined;
  readonly variables: Readonly<Record<string, unknown>>;
}

export interface OperationAnswer {
  /** Of HTTP. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Errors are ready to be shown; without `data` it could not be run at all. */
  readonly result: ExecutionResult;
}

export type RunOperation = (asked: AskedOperation, context: GatewayContext) => Promise<OperationAnswer>;

/** What runs operations. It never throws: what went wrong is in the answer. */
export function openOperationRunner(options: OperationOptions): RunOperation {
  return async (asked, context) => {
    const beganAt = performance.now();
    const operation = getOperationAST(asked.document, asked.operationName) ?? undefined;
    const answer = await answerOperation(options, asked, operation, context).catch((error: unknown) =>
      answerWith({ errors: [toGraphQLError(error)] }, context),
    );
    countOperation(context.client, operation?.operation, answer.result, performance.now() - beganAt);
    return answer;
  };
}

async function answerOperation(
  options: OperationOptions,
  asked: AskedOperation,
  operation: OperationDefinitionNode | undefined,
  context: GatewayContext,
): Promise<OperationAnswer> {
  if (!operation) return refuse(errors.OPERATION_UNKNOWN(), context);
  const { graph, document, variables } = asked;
  const refusal = findForbidden(options, graph, document, operation, context.caller);
  if (refusal) return refuse(refusal, context);
  const { errors: problems, coerced } = getVariableValues(graph.schema, operation.variableDefinitions ?? [], variables);
  if (problems) return answerWith({ errors: graph.told(problems) }, context);
  const tooMany = await countRootFields(options.tolls, document, operation, context);
  if (tooMany) return refuse(tooMany, context);
  const costed: CostedOperation = { document, operation, variables: coerced };
  const estimated = estimateOf(graph, costed);
  if (typeof estimated !== "number") return refuse(estimated, context);
  const admission = await options.tolls.charge(context, estimated);
  if (admission.refusal) return refuse(admission.refusal, context);
  const result = await run(options, asked, operation, context);
  const actual = graph.costs.actual(costed, result.data);
  const remaining = options.tolls.settle(context, estimated, actual, admission);
  const cost = { estimated, actual, remaining };
  return answerWith({ ...result, extensions: { ...result.extensions, cost } }, context);
}

function findForbidden(
  { introspection }: OperationOptions,
  { requirements, contract }: Graph,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  caller: GatewayContext["caller"],
): AppError | undefined {
  if (operation.operation === OperationTypeNode.SUBSCRIPTION) return errors.SUBSCRIPTION_NEEDS_SOCKET();
  if (introspection !== "everyone" && readsSchema(operation, document)) {
    if (introspection === "nobody") return errors.SCHEMA_NOT_SHOWN();
    if (!caller) return platformErrors.CREDENTIALS_MISSING({ details: { coordinate: "Query.__schema" } });
  }
  const refusal = findRefusal(requirements.of(document, operation), caller);
  if (refusal) return refusal;
  const beyond = contract?.isFor(caller) ? contract.beyond(document, operation) : [];
  return beyond.length > 0 ? beyondContract(beyond) : undefined;
}

const schemaReaders = new WeakMap<OperationDefinitionNode, boolean>();

/** `__schema` and `__type` are fields of the root; a fragment may bring them. */
function readsSchema(operation: OperationDefinitionNode, document: DocumentNode): boolean {
  const known = schemaReaders.get(operation);
  if (known !== undefined) return known;
  let found = false;
  const fragments = document.definitions.filter((each) => each.kind === Kind.FRAGMENT_DEFINITION);
  for (const { selectionSet } of [operation, ...fragments])
    visit(selectionSet, {
      Field: ({ name }) => {
        found ||= name.value === "__schema" || name.value === "__type";
      },
    });
  schemaReaders.set(operation, found);
  return found;
}

/** A stranger's mutation counts once for each of its fields, the first of which has been counted: each may be a password to verify. */
async function countRootFields(
  tolls: Tolls,
  document: DocumentNode,
  operation: OperationDefinitionNode,
  context: GatewayContext,
): Promise<AppError | undefined> {
  if (context.caller || operation.operation !== OperationTypeNode.MUTATION) return undefined;
  const more = rootFieldsOf(document, operation) - 1;
  return more > 0 ? (await tolls.admitMore(context, more)).refusal : undefined;
}

function estimateOf({ costs }: Graph, costed: CostedOperation): number | AppError {
  try {
    return costs.estimate(costed);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

/** Errors are raw. Never throws: what was charged is settled whatever happens. */
async function run(
  { subgraphs: links }: OperationOptions,
  { graph, document, operationName, variables }: AskedOperation,
  operation: OperationDefinitionNode,
  context: GatewayContext,
): Promise<ExecutionResult> {
  try {
    const { contract } = graph;
    if (contract?.isFor(context.caller) && readsSchema(operation, document))
      // Whatever stands beside `__schema` in the operation is asked for by itself.
      return executeSync({ schema: contract.schema, document, variableValues: variables, operationName });
    return await runPlan(graph.planOf(document, operationName), { links, variables, context });
  } catch (error) {
    return { errors: [toGraphQLError(error)] };
  }
}

function refuse(error: AppError, { requestId }: GatewayContext): OperationAnswer {
  return {
    status: httpStatusOf(error.kind),
    headers: retryHeaders(error),
    result: { errors: [toShownError(error, requestId)] },
  };
}

/** The answer with its errors as they may be shown. */
function answerWith({ errors: raw, ...result }: ExecutionResult, { requestId }: GatewayContext): OperationAnswer {
  if (!raw) return { status: 200, headers: {}, result };
  const shown = raw.map((error) => presentGatewayError(error, requestId));
  // A part of the data is an answer; without any it was none.
  const status = result.data === undefined ? httpStatusOfCode(String(shown[0]?.extensions["code"])) : 200;
  return { status, headers: {}, result: { errors: shown, ...result } };
}
