import { readFileSync } from "node:fs";
import { ROUTER_SUPPORTED_SUPERGRAPH_FEATURES, Supergraph, type Schema } from "@apollo/federation-internals";
import { composeServices } from "@apollo/composition";
import { buildOperationContext, executeQueryPlan, type GraphQLDataSource } from "@apollo/gateway";
import type { PlanNode } from "@apollo/query-planner";
import { logger, setLogLevel } from "@sba/platform/log";
import { writeOperation } from "@sba/testkit/operations";
import { GraphQLError, parse, type DocumentNode, type ExecutionResult, type GraphQLSchema } from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentGatewayError } from "./errors.ts";
import { anySubgraph, type AnySubgraph, type Behaviour } from "./execution.testing.ts";
import type { GatewayContext, SubgraphLink } from "./forward.ts";
import { loadGraph, type Graph, type OperationPlan } from "./graph.ts";
import { runPlan } from "./plan-run.ts";
import { pick } from "./primary-fetch.ts";

/**
 * Our execution of plans against @apollo/gateway's, which we have replaced: the same plan, the same answers of subgraphs, and
 * every difference in what a client would see is a failure.
 */

const SCHEMA = new URL("../../schema/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, SCHEMA), "utf8");

interface Federation {
  readonly graph: Graph;
  readonly api: Schema;
  readonly schema: GraphQLSchema;
  readonly sdls: ReadonlyMap<string, string>;
  /** False when it has lists in which only some are asked about: there Apollo's executor names the wrong one in errors. */
  readonly exactPlaces: boolean;
}

function federationOf(sdl: string, sdls: ReadonlyMap<string, string>, exactPlaces: boolean): Federation {
  const supergraph = Supergraph.build(sdl, { supportedFeatures: ROUTER_SUPPORTED_SUPERGRAPH_FEATURES });
  const [api, schema] = [supergraph.apiSchema(), supergraph.schema.toGraphQLJSSchema()];
  return { graph: loadGraph(sdl), api, schema, sdls, exactPlaces };
}

interface Asked {
  readonly document: DocumentNode;
  readonly plan: OperationPlan;
  readonly variables: Record<string, unknown>;
  readonly behaviour: Behaviour;
}

const CONTEXT: GatewayContext = { caller: undefined, requestId: "compared", signal: new AbortController().signal };

function subgraphsOf({ sdls }: Federation, behaviour: Behaviour): ReadonlyMap<string, AnySubgraph> {
  return new Map([...sdls].map(([name, sdl]) => [name, anySubgraph(sdl, behaviour)]));
}

async function eventOf({ plan: { primary }, variables }: Asked, subgraphs: ReadonlyMap<string, AnySubgraph>) {
  if (!primary) return undefined;
  const { serviceName, operation: query, operationName, variableUsages = [] } = primary;
  const used = pick(variables, variableUsages);
  return { ...(await subgraphs.get(serviceName)!({ query, variables: used, operationName })), from: serviceName };
}

function linkTo(name: string, answer: AnySubgraph): SubgraphLink {
  return {
    name,
    routes: [],
    execute: answer,
    subscribe: () => {
      throw new Error("plans do not subscribe");
    },
    isReady: () => Promise.resolve(true),
    close: () => Promise.resolve(),
  };
}

async function runOurs(federation: Federation, asked: Asked): Promise<ExecutionResult> {
  const subgraphs = subgraphsOf(federation, asked.behaviour);
  const links = new Map([...subgraphs].map(([name, answer]) => [name, linkTo(name, answer)]));
  const event = await eventOf(asked, subgraphs);
  return runPlan(asked.plan, { links, variables: asked.variables, context: CONTEXT, ...(event ? { event } : {}) });
}

async function runApollos(federation: Federation, asked: Asked): Promise<ExecutionResult> {
  const { plan, document, variables } = asked;
  const subgraphs = subgraphsOf(federation, asked.behaviour);
  const sources = Object.fromEntries(
    [...subgraphs].map(([name, answer]): [string, GraphQLDataSource] => [
      name,
      {
        process: ({ request }) =>
          answer({
            query: request.query ?? "",
            variables: request.variables ?? {},
            operationName: request.operationName,
          }) as ReturnType<GraphQLDataSource["process"]>,
      },
    ]),
  );
  const nodes = [plan.primary, plan.node].filter((node): node is PlanNode => node !== undefined);
  return (await executeQueryPlan(
    { kind: "QueryPlan", ...(nodes.length > 0 ? { node: { kind: "Sequence", nodes } } : {}) },
    sources,
    { request: { variables }, context: CONTEXT, logger, metrics: {} } as never,
    buildOperationContext({ schema: federation.graph.schema, operationDocument: document }),
    federation.schema,
    federation.api,
  )) as ExecutionResult;
}

/** As a client reads it, to the order of the fields; errors of fetches that are under way together come in any order. */
function shown({ exactPlaces }: Federation, { data, errors, extensions }: ExecutionResult): string {
  const presented = errors
    ?.map((error) => {
      const { path, ...rest } = presentGatewayError(error, "compared").toJSON();
      return JSON.stringify({ path: exactPlaces ? path : path?.filter((step) => typeof step === "string"), ...rest });
    })
    .toSorted();
  return JSON.stringify({ data, errors: presented, extensions }, undefined, 1);
}

/** An answer that contradicts the plan itself, a list for an object, is thrown by both. */
async function outcomeOf(run: Runner, federation: Federation, asked: Asked): Promise<string> {
  return run(federation, asked).then(
    (result) => shown(federation, result),
    () => "thrown",
  );
}

type Runner = (federation: Federation, asked: Asked) => Promise<ExecutionResult>;

/** By their text: a plan is remembered for its document, and making one takes longer than running it twice. */
const documents = new Map<string, DocumentNode>();

function documentOf(text: string): DocumentNode {
  const document = documents.get(text) ?? parse(text);
  documents.set(text, document);
  return document;
}

async function compare(federation: Federation, text: string, behaviour: Behaviour): Promise<string> {
  const document = documentOf(text);
  const variables = { on: true, off: false };
  const asked: Asked = { document, plan: federation.graph.planOf(document, undefined), variables, behaviour };
  const ours = await outcomeOf(runOurs, federation, asked);
  const apollos = await outcomeOf(runApollos, federation, asked);
  expect(ours, `${text}\n${JSON.stringify(behaviour)}`).toBe(apollos);
  return ours;
}

const level = logger.level;
beforeAll(() => {
  // What the answers break is logged, and they break hundreds of times.
  setLogLevel("silent");
});
afterAll(() => {
  setLogLevel(level);
});

const NAMES = ["agent", "billing", "identity", "integrations", "knowledge", "workflow"];
const ours = federationOf(
  read("supergraph.graphql"),
  new Map(NAMES.map((name) => [name, read(`subgraphs/${name}.graphql`)])),
  true,
);

/** Within what the planner can do: it knows no way to introspection that stands in a fragment. */
function operationOf({ graph }: Federation, seed: string, kind: "query" | "subscription"): string {
  return writeOperation(graph.schema, seed, kind, (document) => {
    try {
      graph.planOf(documentOf(document.loc?.source.body ?? ""), undefined);
      return true;
    } catch {
      return false;
    }
  });
}

/** Seeds, in portions that a slow machine is done with in time. */
function portions(count: number): number[][] {
  const seeds = Array.from({ length: count }, (_, index) => index);
  return Array.from({ length: count / 20 }, (_, portion) => seeds.slice(portion * 20, portion * 20 + 20));
}

describe("our graph", () => {
  test.each(portions(100))("answers generated queries as Apollo's executor does, from seed %i", async (...seeds) => {
    for (const seed of seeds) {
      const text = operationOf(ours, `query ${seed}`, "query");
      for (const corrupt of [0, 0.5]) await compare(ours, text, { seed: `${seed}`, corrupt });
    }
  });

  test.each(portions(60))("joins events of generated subscriptions as it does, from seed %i", async (...seeds) => {
    for (const seed of seeds) {
      const text = operationOf(ours, `subscription ${seed}`, "subscription");
      for (const corrupt of [0, 0, 0.5]) await compare(ours, text, { seed: `${seed}`, corrupt });
    }
  });
});

// contract/main-job.graphql
const RUN_EVENTS = `subscription RunEvents {
  runEvents(runId: "run_1", after: "c") {
    __typename cursor seq at runId tenantId level traceId
    ... on RunStatusChanged { from to }
    ... on StepStarted { step { number type } }
    ... on StepFinished { step { number type startedAt endedAt } }
    ... on StepRestarted { step { number type } attempt cause }
    ... on TokenDelta { text index }
    ... on ToolRequested { toolCall { id name params } }
    ... on ToolResulted { toolCall { id name success durationMs } }
    ... on ApprovalRequested { approval { id action scope requires costEstimate { amountMicros currency } expiresAt } }
    ... on ApprovalDecided { approval { id status decidedBy { id displayName } reason } }
    ... on ArtifactCreated { artifact { id name mediaType sizeBytes downloadUrl(expiresInSeconds: 300) } }
    ... on UsageRecorded { usage { meter quantity cost { amountMicros currency } } }
    ... on RunFinished { run { id status output tenant { id name } cost { amountMicros currency } } }
    ... on RunFailed { run { id status } error { code message } }
    ... on StreamGap { fromSeq toSeq cause }
  }
}`;
const EVENT_TYPES = ours.graph.schema
  .getPossibleTypes(ours.graph.schema.getType("RunEvent") as never)
  .map(({ name }) => name);

describe("RunEvents", () => {
  test.each(EVENT_TYPES)("shows %s as Apollo's executor does", async (eventType) => {
    for (let event = 0; event < 20; event++) {
      const answer = await compare(ours, RUN_EVENTS, { seed: `${eventType} ${event}`, corrupt: 0, eventType });
      expect(answer).toContain(`"__typename": "${eventType}"`);
      await compare(ours, RUN_EVENTS, { seed: `${eventType} ${event}`, corrupt: 1, eventType });
    }
  });
});

/** What our own domains do not use: unions, hidden values, @provides, @requires, @interfaceObject, fields that differ by type. */
const ODD = new Map([
  [
    "shop",
    `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@inaccessible", "@shareable", "@external", "@provides", "@requires"])
    type Query { node(id: ID!): Node things: [Thing] hidden: Secret @inaccessible any: Any best: Book @provides(fields: "title") matrix: [[Int!]] }
    interface Node @key(fields: "id") { id: ID! label: String! }
    type Book implements Node @key(fields: "id") { id: ID! label: String! title: String @external pages: Int! size: Size weight: Int @external heavy: Boolean @requires(fields: "weight") mood: Mood! tags: [Tag!]! @shareable }
    type Tag { word: String! }
    type Film implements Node @key(fields: "id") { id: ID! label: String! length: Float size: String! next: Film inner: [Inner!]! mood: Mood }
    type Inner { value: JSON text: String! deep: Inner }
    type Secret { id: ID! @inaccessible text: String }
    union Thing = Book | Film | Secret
    union Any = Book | Inner
    enum Size { SMALL LARGE @inaccessible }
    enum Mood { GLAD SAD @inaccessible }
    scalar JSON`,
  ],
  [
    "reviews",
    `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@interfaceObject", "@external", "@requires", "@shareable"])
    type Query { newest: [Review!] }
    type Review { id: ID! of: Node! stars: Int! by: Person }
    type Node @key(fields: "id") @interfaceObject { id: ID! reviews: [Review!]! best(first: Int! = 2): Review }
    type Person @key(fields: "id") { id: ID! name: String! }`,
  ],
  [
    "library",
    `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable", "@external", "@requires"])
    type Query { shelf: [Book] }
    type Book @key(fields: "id") { id: ID! title: String @shareable weight: Int author: Person! tags: [Tag!]! @shareable }
    type Tag { count: Int }
    type Person @key(fields: "id") { id: ID! age: Int books: [Book!] }`,
  ],
]);

describe("a graph with everything that federation has", () => {
  const composed = composeServices([...ODD].map(([name, sdl]) => ({ name, url: "", typeDefs: parse(sdl) })));
  if (composed.errors) throw new Error(composed.errors.map(String).join("\n"));
  const odd = federationOf(composed.supergraphSdl, ODD, false);

  test.each(portions(160))("answers generated queries as Apollo's executor does, from seed %i", async (...seeds) => {
    for (const seed of seeds) {
      const text = operationOf(odd, `odd ${seed}`, "query");
      for (const corrupt of [0, 0, 0.5]) await compare(odd, text, { seed: `${seed}/${corrupt}`, corrupt });
    }
  });

  test("says of the entity that an error is of, where Apollo's executor counts those that were not asked for too", async () => {
    const document = parse("{ things { __typename ... on Book { weight } } }");
    const answers: Readonly<Record<string, ExecutionResult>> = {
      shop: { data: { things: [{ __typename: "Film" }, { __typename: "Book", id: "1" }] } },
      library: {
        data: { _entities: [{ weight: null }] },
        errors: [
          new GraphQLError("no scales", { path: ["_entities", 0, "weight"], extensions: { reason: "NO_SCALES" } }),
        ],
      },
    };
    const links = new Map(
      [...odd.sdls.keys()].map((name) => [name, linkTo(name, () => Promise.resolve(answers[name] ?? {}))]),
    );
    const result = await runPlan(odd.graph.planOf(document, undefined), { links, variables: {}, context: CONTEXT });
    expect(result.errors?.map(({ path }) => path)).toEqual([["things", 1, "weight"]]);
  });
});
