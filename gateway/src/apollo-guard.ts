import {
  HeaderMap,
  type ApolloServerPlugin,
  type GraphQLRequestContextDidResolveOperation,
  type GraphQLRequestContextResponseForOperation,
  type GraphQLRequestListener,
  type GraphQLResponse,
} from "@apollo/server";
import { AppError, httpStatusOf, platformErrors } from "@sba/platform/errors";
import {
  executeSync,
  getVariableValues,
  Kind,
  OperationTypeNode,
  visit,
  type DocumentNode,
  type GraphQLError,
  type OperationDefinitionNode,
} from "graphql";
import { beyondContract } from "./contract.ts";
import type { CostedOperation } from "./cost.ts";
import { findRefusal } from "./enforce.ts";
import { errors, toShownError } from "./errors.ts";
import type { GatewayContext } from "./forward.ts";
import type { Graph } from "./graph.ts";
import type { Graphs } from "./graphs.ts";
import type { Admission, Tolls } from "./tolls.ts";

/**
 * What stands between validation and plan: what the caller may not do is refused, and what the operation may cost is charged.
 * What it did not cost is given back when it has been answered, and both are told in `extensions.cost`.
 */

export interface GuardOptions {
  readonly graphs: Graphs;
  readonly tolls: Tolls;
  /** False when only who has said who they are may read the schema. */
  readonly isSchemaOpen: boolean;
}

interface Charged {
  readonly graph: Graph;
  readonly operation: CostedOperation;
  readonly estimated: number;
  readonly admission: Admission;
}

type Resolved = GraphQLRequestContextDidResolveOperation<GatewayContext>;

export function guard(options: GuardOptions): ApolloServerPlugin<GatewayContext> {
  return {
    requestDidStart: () => {
      let charged: Charged | undefined;
      const listener: GraphQLRequestListener<GatewayContext> = {
        didResolveOperation: async (resolved) => {
          refuseForbidden(options, resolved);
          charged = await charge(options, resolved);
        },
        responseForOperation: (resolved) => Promise.resolve(answerFromContract(options, resolved)),
        willSendResponse: ({ response, contextValue }) => {
          if (charged && response.body.kind === "single") {
            const { singleResult } = response.body;
            const cost = settle(options, charged, singleResult.data, contextValue);
            singleResult.extensions = { ...singleResult.extensions, cost };
          }
          return Promise.resolve();
        },
      };
      return Promise.resolve(listener);
    },
  };
}

function refuseForbidden(
  { graphs, isSchemaOpen }: GuardOptions,
  { document, operation, schema, contextValue }: Resolved,
): void {
  if (!operation) throw refusedWith(errors.OPERATION_UNKNOWN(), contextValue);
  if (operation.operation === OperationTypeNode.SUBSCRIPTION)
    throw refusedWith(errors.SUBSCRIPTION_NEEDS_SOCKET(), contextValue);
  if (!isSchemaOpen && !contextValue.caller && readsSchema(operation, document))
    throw refusedWith(platformErrors.CREDENTIALS_MISSING({ details: { coordinate: "Query.__schema" } }), contextValue);
  const { requirements, contract } = graphs.of(schema);
  const refusal = findRefusal(requirements.of(document, operation), contextValue.caller);
  if (refusal) throw refusedWith(refusal, contextValue);
  const beyond = contract?.isFor(contextValue.caller) ? contract.beyond(document, operation) : [];
  if (beyond.length > 0) throw refusedWith(beyondContract(beyond), contextValue);
}

/** Who is given a contract reads its schema; whatever stands beside `__schema` in the operation is asked for by itself. */
function answerFromContract(
  { graphs }: GuardOptions,
  { document, operation, request, schema, contextValue }: GraphQLRequestContextResponseForOperation<GatewayContext>,
): GraphQLResponse | null {
  const { contract } = graphs.of(schema);
  if (!contract?.isFor(contextValue.caller) || !readsSchema(operation, document)) return null;
  const { data = null, errors: problems } = executeSync({
    schema: contract.schema,
    document,
    variableValues: request.variables,
    operationName: request.operationName,
  });
  const singleResult = { data, ...(problems ? { errors: problems.map((problem) => problem.toJSON()) } : {}) };
  return { http: { headers: new HeaderMap() }, body: { kind: "single", singleResult } };
}

/** `__schema` and `__type` are fields of the root; a fragment may bring them. */
function readsSchema(operation: OperationDefinitionNode, document: DocumentNode): boolean {
  const fragments = document.definitions.filter((each) => each.kind === Kind.FRAGMENT_DEFINITION);
  return [operation, ...fragments].some(({ selectionSet }) => {
    let found = false;
    visit(selectionSet, {
      Field: ({ name }) => {
        found ||= name.value === "__schema" || name.value === "__type";
      },
    });
    return found;
  });
}

/** Undefined when its variables do not fit: then it is refused where it would be run. */
async function charge(
  { graphs, tolls }: GuardOptions,
  { document, operation, request, schema, contextValue }: Resolved,
): Promise<Charged | undefined> {
  const graph = graphs.of(schema);
  const given = request.variables ?? {};
  const { coerced } = getVariableValues(graph.schema, operation?.variableDefinitions ?? [], given);
  if (!operation || !coerced) return undefined;
  const costed = { document, operation, variables: coerced };
  const estimated = estimateOf(graph, costed, contextValue);
  const admission = await tolls.charge(contextValue, estimated);
  if (admission.refusal) throw refusedWith(admission.refusal, contextValue);
  return { graph, operation: costed, estimated, admission };
}

function estimateOf({ costs }: Graph, operation: CostedOperation, context: GatewayContext): number {
  try {
    return costs.estimate(operation);
  } catch (error) {
    throw error instanceof AppError ? refusedWith(error, context) : error;
  }
}

function settle(
  { tolls }: GuardOptions,
  { graph, operation, estimated, admission }: Charged,
  data: unknown,
  context: GatewayContext,
) {
  const actual = graph.costs.actual(operation, data);
  return { estimated, actual, remaining: tolls.settle(context, estimated, actual, admission) };
}

/** An error that Apollo Server answers with the status of its kind, and when to come again. */
function refusedWith(error: AppError, { requestId }: GatewayContext): GraphQLError {
  return toShownError(error, requestId, httpStatusOf(error.kind));
}
