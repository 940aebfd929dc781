import { createHash } from "node:crypto";
import {
  operationFromDocument,
  ROUTER_SUPPORTED_SUPERGRAPH_FEATURES,
  Supergraph,
  type Schema,
} from "@apollo/federation-internals";
import { buildOperationContext, executeQueryPlan, type GraphQLDataSource } from "@apollo/gateway";
import { QueryPlanner, type FetchNode, type PlanNode, type QueryPlan } from "@apollo/query-planner";
import { logger } from "@sba/platform/log";
import { getVariableValues, type DocumentNode, type ExecutionResult, type GraphQLSchema } from "graphql";
import { readRequirements, type Requirements } from "./enforce.ts";

/**
 * One supergraph, ready to run: its API schema, its plans and what it demands of callers. @apollo/gateway's own executor
 * would refuse both subscriptions and @authenticated; this one plans every operation with the same planner and runs
 * the plans with @apollo/gateway's `executeQueryPlan`. The security features are read and enforced in `enforce.ts`.
 */
export interface Graph {
  /** Of the SDL: two graphs with one id are the same. */
  readonly id: string;
  readonly sdl: string;
  /** What clients see: @inaccessible is gone. */
  readonly schema: GraphQLSchema;
  /** Subgraphs by name, with the URL that the SDL has for them. */
  readonly subgraphs: ReadonlyMap<string, string>;
  readonly requirements: Requirements;
  /** The plan of a document that is valid for this graph and has the operation. */
  readonly planOf: (document: DocumentNode, operationName: string | null | undefined) => OperationPlan;
  /** Runs a plan; each subgraph is asked through its source. Errors are raw: present them. */
  readonly run: (plan: OperationPlan, run: PlanRun) => Promise<ExecutionResult>;
}

type OperationContext = ReturnType<typeof buildOperationContext>;

export interface OperationPlan {
  readonly operation: OperationContext["operation"];
  /** For a query or mutation, the whole of it; for a subscription, what is done for each event. */
  readonly perRun: QueryPlan;
  /** The subscription's own fetch, which opens the stream. */
  readonly primary: FetchNode | undefined;
  readonly context: OperationContext;
}

export interface PlanRun {
  readonly sources: Readonly<Record<string, GraphQLDataSource>>;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly contextValue: object;
}

/** The subgraphs that a supergraph is made of, by name, with the URL that it has for each. */
export function subgraphUrlsIn(sdl: string): ReadonlyMap<string, string> {
  return urlsOf(
    Supergraph.build(sdl, { supportedFeatures: ROUTER_SUPPORTED_SUPERGRAPH_FEATURES, validateSupergraph: false }),
  );
}

function urlsOf(supergraph: Supergraph): ReadonlyMap<string, string> {
  return new Map(supergraph.subgraphsMetadata().map(({ name, url }) => [name, url]));
}

/** Reads a supergraph. @throws when it is not a valid one. */
export function loadGraph(sdl: string): Graph {
  const supergraph = Supergraph.build(sdl, { supportedFeatures: ROUTER_SUPPORTED_SUPERGRAPH_FEATURES });
  const apiSchema = supergraph.apiSchema();
  const schema = apiSchema.toGraphQLJSSchema();
  const supergraphSchema = supergraph.schema.toGraphQLJSSchema();
  // The plan's operations come parsed: in process they are executed as they are.
  const planner = new QueryPlanner(supergraph, { exposeDocumentNodeInFetchNode: true });
  const plans = rememberPlans((document, operationName) =>
    plan({ planner, apiSchema, schema }, document, operationName),
  );
  return {
    id: createHash("sha256").update(sdl).digest("base64url").slice(0, 16),
    sdl,
    schema,
    subgraphs: urlsOf(supergraph),
    requirements: readRequirements(sdl, schema),
    planOf: plans,
    run: (operationPlan, run) => runPlan(operationPlan, run, supergraphSchema, apiSchema),
  };
}

type PlanOf = Graph["planOf"];

/** Plans live as long as their document does, and documents are kept by whoever parses them. */
function rememberPlans(make: PlanOf): PlanOf {
  const byDocument = new WeakMap<DocumentNode, Map<string, OperationPlan>>();
  return (document, operationName) => {
    const byName = byDocument.get(document) ?? new Map<string, OperationPlan>();
    byDocument.set(document, byName);
    const known = byName.get(operationName ?? "");
    if (known) return known;
    const made = make(document, operationName);
    byName.set(operationName ?? "", made);
    return made;
  };
}

interface PlanningParts {
  readonly planner: QueryPlanner;
  readonly apiSchema: Schema;
  readonly schema: GraphQLSchema;
}

function plan(
  { planner, apiSchema, schema }: PlanningParts,
  document: DocumentNode,
  operationName: string | null | undefined,
): OperationPlan {
  const named = operationName ? { operationName } : {};
  const context = buildOperationContext({ schema, operationDocument: document, ...named });
  const whole = planner.buildQueryPlan(operationFromDocument(apiSchema, document, named));
  const { node } = whole;
  if (node?.kind !== "Subscription")
    return { operation: context.operation, perRun: whole, primary: undefined, context };
  const perEvent: PlanNode = node.rest ? { kind: "Sequence", nodes: [node.primary, node.rest] } : node.primary;
  return {
    operation: context.operation,
    perRun: { kind: "QueryPlan", node: perEvent },
    primary: node.primary,
    context,
  };
}

async function runPlan(
  plan: OperationPlan,
  run: PlanRun,
  supergraphSchema: GraphQLSchema,
  apiSchema: Schema,
): Promise<ExecutionResult> {
  // Of Apollo Server's request context the plan's executor reads these four; a socket's operation has no more.
  const requestContext = {
    request: { variables: { ...run.variables } },
    context: run.contextValue,
    logger,
    metrics: {},
  } as unknown as Parameters<typeof executeQueryPlan>[2];
  const result = await executeQueryPlan(
    plan.perRun,
    { ...run.sources },
    requestContext,
    plan.context,
    supergraphSchema,
    apiSchema,
  );
  return result as ExecutionResult;
}

/** What is wrong with a request's variables, or undefined when they fit. To be asked before `run`. */
export function variableErrors(
  { operation, context }: OperationPlan,
  variables: Readonly<Record<string, unknown>>,
): ExecutionResult["errors"] {
  return getVariableValues(context.schema, operation.variableDefinitions ?? [], variables).errors;
}
