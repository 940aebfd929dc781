import type { VariableDefinitions } from "@apollo/federation-internals";
import { evaluateCondition, type FetchNode, type PlanNode } from "@apollo/query-planner";
import { toGraphQLError } from "@sba/platform/graphql-errors";
import { traced } from "@sba/platform/telemetry";
import { GraphQLError, type ExecutionResult, type GraphQLSchema } from "graphql";
import type { GatewayContext, SubgraphLinks } from "./forward.ts";
import { merge, ownValue, placesOf, rewrite, select, valueAt, type Data, type Path } from "./plan-data.ts";
import type { Shape } from "./shape.ts";

/**
 * Runs a query plan: asks subgraphs, joins their answers, and cuts the result to what was asked for. The semantics are those of
 * @apollo/gateway's `executeQueryPlan`, to the error (`execution.test.ts` compares the two); but nothing is read or built
 * twice that belongs to the operation, and what needs no subgraph is done at once, without a promise: most events of a
 * stream have nothing to join.
 */

export interface RunnablePlan {
  readonly node: PlanNode | undefined;
  readonly variableDefinitions: VariableDefinitions;
  readonly shape: Shape;
  /** The supergraph's, by which types are told apart. */
  readonly schema: GraphQLSchema;
}

export interface PlanRun {
  readonly links: SubgraphLinks;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly context: GatewayContext;
  /** Of a subscription: what its own fetch has given. What is joined to it is written into it. */
  readonly event?: ExecutionResult & { readonly from: string };
}

interface Work extends PlanRun, RunnablePlan {
  readonly data: Data;
  readonly errors: unknown[];
}

/** Runs a plan. Errors are raw: present them. */
export function runPlan(plan: RunnablePlan, run: PlanRun): ExecutionResult | Promise<ExecutionResult> {
  const { event } = run;
  const data = (event?.data ?? {}) as Data;
  const errors = event?.errors?.map((error) => downstreamError(error, event.from, error.path)) ?? [];
  const work: Work = { ...run, ...plan, data, errors };
  const underWay = plan.node && visit(work, plan.node, { path: [], value: data });
  return underWay ? underWay.then(() => finish(work)) : finish(work);
}

function finish({ shape, data: answered, variables, errors }: Work): ExecutionResult {
  try {
    const { data, problems } = shape(answered, variables);
    if (errors.length > 0) return { errors: errors as GraphQLError[], data };
    return problems.length > 0 ? { extensions: { valueCompletion: problems }, data } : { data };
  } catch (error) {
    return { errors: [toGraphQLError(error)] };
  }
}

/** Where in the data a node of the plan works. */
interface Place {
  readonly path: Path;
  readonly value: unknown;
}

/** Undefined when nothing had to be asked. */
function visit(work: Work, node: PlanNode, place: Place): Promise<unknown> | undefined {
  switch (node.kind) {
    case "Sequence":
      return visitInOrder(work, node.nodes, place);
    case "Parallel":
      return visitTogether(work, node.nodes, place);
    case "Flatten": {
      const value = valueAt(place.value, node.path);
      return value ? visit(work, node.node, { path: [...place.path, ...node.path], value }) : undefined;
    }
    case "Fetch":
      return fetchAt(work, node, place);
    case "Condition": {
      const holds = evaluateCondition(node, work.variableDefinitions, { ...work.variables });
      const branch = holds ? node.ifClause : node.elseClause;
      return branch && visit(work, branch, place);
    }
    case "Defer":
      throw new Error("@defer is not offered");
  }
}

function visitInOrder(work: Work, [node, ...rest]: readonly PlanNode[], place: Place): Promise<unknown> | undefined {
  if (!node) return undefined;
  const underWay = visit(work, node, place);
  return underWay ? underWay.then(() => visitInOrder(work, rest, place)) : visitInOrder(work, rest, place);
}

function visitTogether(work: Work, nodes: readonly PlanNode[], place: Place): Promise<unknown> | undefined {
  const underWay: Promise<unknown>[] = [];
  try {
    for (const node of nodes) {
      const visited = visit(work, node, place);
      if (visited) underWay.push(visited);
    }
  } catch (error) {
    // What is under way may fail as well, and somebody has to hear it.
    void Promise.allSettled(underWay);
    throw error;
  }
  return underWay.length > 0 ? Promise.all(underWay) : undefined;
}

/** A fetch that fails is an error of the result; the rest of the plan goes on. */
function fetchAt(work: Work, node: FetchNode, place: Place): Promise<unknown> | undefined {
  const fail = (error: unknown): void => {
    work.errors.push(error);
  };
  try {
    const values: unknown[] = Array.isArray(place.value) ? place.value : [place.value];
    const objects = values.filter((value) => value !== null && value !== undefined) as Data[];
    if (objects.length === 0) return undefined;
    const fetched = node.requires ? fetchEntities(work, node, place, objects) : fetchInto(work, node, place, objects);
    return fetched?.catch(fail);
  } catch (error) {
    fail(error);
    return undefined;
  }
}

async function fetchInto(work: Work, node: FetchNode, place: Place, objects: readonly Data[]): Promise<void> {
  const data = await ask(work, node, variablesOf(work, node), (path) => path && [...place.path, ...path]);
  if (data) rewrite(work.schema, node.outputRewrites, data);
  for (const object of objects) merge(object, data);
}

function fetchEntities(work: Work, node: FetchNode, place: Place, objects: readonly Data[]): Promise<void> | undefined {
  const asked = objects.flatMap((object, index) => {
    const representation = select(work.schema, object, node.requires ?? []);
    if (!representation?.["__typename"]) return [];
    rewrite(work.schema, node.inputRewrites, representation);
    return [{ object, representation, index }];
  });
  return asked.length === 0 ? undefined : joinEntities(work, node, place, asked);
}

interface AskedEntity {
  readonly object: Data;
  readonly representation: Data;
  /** Among all objects of the place: not each is one that this fetch is for. */
  readonly index: number;
}

async function joinEntities(work: Work, node: FetchNode, place: Place, asked: readonly AskedEntity[]): Promise<void> {
  const variables = variablesOf(work, node);
  if ("representations" in variables) throw new Error(`Variables cannot contain key "representations"`);
  const representations = asked.map(({ representation }) => representation);
  const data = await ask(work, node, { ...variables, representations }, entityPaths(work, place, asked));
  if (!data) return;
  const { _entities: entities } = data;
  if (!Array.isArray(entities)) throw new Error(`Expected "data._entities" in response to be an array`);
  if (entities.length !== asked.length)
    throw new Error(`Expected "data._entities" to contain ${asked.length} elements`);
  for (const [index, { object }] of asked.entries()) {
    const entity = entities[index] as Data | null;
    if (entity && !entity["__typename"]) entity["__typename"] = object["__typename"];
    rewrite(work.schema, node.outputRewrites, entity);
    merge(object, entity);
  }
}

function variablesOf({ variables }: Work, { variableUsages = [] }: FetchNode): Data {
  const used: Data = {};
  for (const name of variableUsages) {
    const value = ownValue(variables, name);
    if (value !== undefined) used[name] = value;
  }
  return used;
}

type ErrorPath = Path | undefined;

async function ask(
  work: Work,
  node: FetchNode,
  variables: Data,
  pathOf: (inAnswer: ErrorPath) => ErrorPath,
): Promise<Data | null | undefined> {
  const { serviceName: name, operation: query, operationDocumentNode: document, operationName } = node;
  const link = work.links.get(name);
  if (!link) throw new Error(`no link to the subgraph ${name}`);
  const span = { kind: "client", attributes: { "subgraph.name": name } } as const;
  const { data, errors } = await traced("gateway.fetch", span, () =>
    link.execute({ query, document, variables, operationName }, work.context),
  );
  for (const error of errors ?? []) work.errors.push(downstreamError(error, name, pathOf(error.path)));
  return data;
}

/** From where an error stands in an answer for entities, `_entities.2.name`, to where it stands in the client's. */
function entityPaths({ data }: Work, { path }: Place, asked: readonly AskedEntity[]) {
  let places: readonly Path[] | undefined;
  return (inAnswer: ErrorPath): ErrorPath => {
    const entity = inAnswer?.[1];
    if (typeof entity !== "number") return inAnswer && [...path, ...inAnswer];
    places ??= placesOf(data, path);
    return [...(places[asked[entity]?.index ?? -1] ?? []), ...(inAnswer ?? []).slice(2)];
  };
}

const NO_CODE = "DOWNSTREAM_SERVICE_ERROR";

function downstreamError(error: GraphQLError, serviceName: string, path: Path | undefined): GraphQLError {
  return new GraphQLError(error.message || `Error while fetching subquery from service "${serviceName}"`, {
    originalError: error,
    path: path ?? null,
    extensions: { ...error.extensions, serviceName, code: error.extensions["code"] || NO_CODE },
  });
}
