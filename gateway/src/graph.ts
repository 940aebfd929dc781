import { createHash } from "node:crypto";
import {
  operationFromDocument,
  ROUTER_SUPPORTED_SUPERGRAPH_FEATURES,
  Supergraph,
  type Operation,
  type Schema,
} from "@apollo/federation-internals";
import { QueryPlanner, type FetchNode } from "@apollo/query-planner";
import {
  getOperationAST,
  getVariableValues,
  type DocumentNode,
  type GraphQLError,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from "graphql";
import { readContract, type Contract } from "./contract.ts";
import { createCosts, type Costs } from "./cost.ts";
import { readCostRules } from "./cost-rules.ts";
import { readRequirements, type Requirements, type SecurityDirectives } from "./enforce.ts";
import { introspect } from "./introspect.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import type { RunnablePlan } from "./plan-run.ts";
import { compileShape } from "./shape.ts";

/**
 * One supergraph, ready to run: its API schema, its plans and what it demands of callers. @apollo/gateway would refuse both
 * subscriptions and @authenticated; we plan every operation with the same planner, run the plans in `plan-run.ts`, and
 * enforce the security features in `enforce.ts`.
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
  readonly costs: Costs;
  /** What partners are given as the whole. */
  readonly contract: Contract | undefined;
  /** What is wrong with a document or its variables, as callers may read it. */
  readonly told: (problems: readonly GraphQLError[]) => readonly GraphQLError[];
  /** The plan of a document that is valid for this graph and has the operation. */
  readonly planOf: (document: DocumentNode, operationName: string | null | undefined) => OperationPlan;
}

export interface GraphOptions {
  readonly assumedListSize?: number;
  /** False where nobody is known, and nothing can be demanded. */
  readonly enforced?: boolean;
  /** "Did you mean" tells the names that who may not read the schema should not learn. */
  readonly hidesNames?: boolean;
}

/** As subgraphs tag what is for partners. */
const PARTNER_TAG = "partner";

const NO_REQUIREMENTS: Requirements = { of: () => [], policies: new Set() };

/** For a query or mutation, the whole of it; for a subscription, what is joined to each event. */
export interface OperationPlan extends RunnablePlan {
  readonly operation: OperationDefinitionNode;
  readonly apiSchema: GraphQLSchema;
  /** The subscription's own fetch, which opens the stream. */
  readonly primary: FetchNode | undefined;
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
export function loadGraph(
  sdl: string,
  { assumedListSize = DEFAULT_LIMITS.assumedListSize, enforced = true, hidesNames = false }: GraphOptions = {},
): Graph {
  const supergraph = Supergraph.build(sdl, { supportedFeatures: ROUTER_SUPPORTED_SUPERGRAPH_FEATURES });
  const api = supergraph.apiSchema();
  const apiSchema = api.toGraphQLJSSchema();
  const parts: PlanningParts = {
    // The plan's operations come parsed: in process they are executed as they are.
    planner: new QueryPlanner(supergraph, { exposeDocumentNodeInFetchNode: true }),
    api,
    apiSchema,
    schema: supergraph.schema.toGraphQLJSSchema(),
  };
  return {
    id: createHash("sha256").update(sdl).digest("base64url").slice(0, 16),
    sdl,
    schema: apiSchema,
    subgraphs: urlsOf(supergraph),
    requirements: enforced ? readRequirements(sdl, apiSchema, securityDirectivesOf(supergraph)) : NO_REQUIREMENTS,
    contract: readContract(sdl, apiSchema, PARTNER_TAG),
    costs: createCosts(apiSchema, readCostRules(sdl), assumedListSize),
    told: (problems) => (hidesNames ? problems.map(withoutSuggestion) : problems),
    planOf: rememberPlans((document, operationName) => plan(parts, document, operationName)),
  };
}

function withoutSuggestion(problem: GraphQLError): GraphQLError {
  problem.message = problem.message.replace(/ ?Did you mean .+\?$/, "");
  return problem;
}

/** What the links of a supergraph call the directives; one that is not linked is not used. */
function securityDirectivesOf({ schema }: Supergraph): SecurityDirectives {
  const nameOf = (name: keyof SecurityDirectives): string =>
    schema.coreFeatures?.getByIdentity(`https://specs.apollo.dev/${name}`)?.directiveNameInSchema(name) ?? name;
  return {
    authenticated: nameOf("authenticated"),
    requiresScopes: nameOf("requiresScopes"),
    policy: nameOf("policy"),
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
  readonly api: Schema;
  readonly apiSchema: GraphQLSchema;
  readonly schema: GraphQLSchema;
}

function plan(
  { planner, api, apiSchema, schema }: PlanningParts,
  document: DocumentNode,
  operationName: string | null | undefined,
): OperationPlan {
  const definition = getOperationAST(document, operationName);
  if (!definition) throw new Error("the document does not have the operation");
  const operation = operationFromDocument(api, document, operationName ? { operationName } : {});
  const { node } = planner.buildQueryPlan(operation);
  const streams = node?.kind === "Subscription";
  return {
    operation: definition,
    apiSchema,
    primary: streams ? node.primary : undefined,
    node: streams ? node.rest : node,
    variableDefinitions: operation.variableDefinitions,
    shape: shapeOf(operation, apiSchema, definition),
    schema,
  };
}

function shapeOf(operation: Operation, apiSchema: GraphQLSchema, { variableDefinitions }: OperationDefinitionNode) {
  return compileShape(operation, (field, variables) =>
    introspect(apiSchema, field, { variableDefinitions, variables }),
  );
}

/** What is wrong with a request's variables, or undefined when they fit. To be asked before the plan is run. */
export function variableErrors(
  { operation, apiSchema }: OperationPlan,
  variables: Readonly<Record<string, unknown>>,
): readonly GraphQLError[] | undefined {
  return getVariableValues(apiSchema, operation.variableDefinitions ?? [], variables).errors;
}
