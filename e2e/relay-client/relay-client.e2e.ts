import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createClient } from "graphql-ws";
import relay, { type ConcreteRequest, type Environment, type SelectorData } from "relay-runtime";
import { afterAll, beforeAll, expect, it } from "vitest";
import { useSystem } from "../story.ts";

/** A client made with Relay: its compiler reads our schema, and its store lives on our ids, connections and streams. */

const story = useSystem();
const require = createRequire(import.meta.url);
const SCHEMA = fileURLToPath(new URL("../../schema/api.graphql", import.meta.url));

// What a module asks for is named after the module.
const RUNS_JS = `
graphql\`query runsQuery { ...runs_page }\`;
graphql\`
  fragment runs_page on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 1 }, cursor: { type: "String" })
  @refetchable(queryName: "runsNextQuery") {
    runs(first: $count, after: $cursor) @connection(key: "runs_runs") {
      edges { node { id ...runs_run } }
    }
  }\`;
graphql\`fragment runs_run on Run @refetchable(queryName: "runsAgainQuery") { id status prompt agent { key } }\`;
graphql\`
  mutation runsStartMutation($input: StartRunInput!, $connections: [ID!]!) {
    startRun(input: $input) @prependNode(connections: $connections, edgeTypeName: "RunEdge") { id ...runs_run }
  }\`;
graphql\`
  subscription runsEventsSubscription($runId: ID!) {
    runEvents(runId: $runId) { __typename seq ... on RunFinished { run { ...runs_run } } }
  }\`;
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sba-relay-"));
  await writeFile(join(folder, "runs.js"), RUNS_JS);
  const config = { src: ".", schema: relative(folder, SCHEMA), language: "javascript", eagerEsModules: false };
  await writeFile(join(folder, "relay.config.json"), JSON.stringify(config));
  const compiler = require.resolve("relay-compiler/cli.js");
  await promisify(execFile)(process.execPath, [compiler, "--noWatchman"], { cwd: folder });
});
afterAll(() => rm(folder, { recursive: true }));

const compiled = <T>(name: string) => require(join(folder, "__generated__", `${name}.graphql.js`)) as T;
const request = (name: string) => compiled<ConcreteRequest>(name);

async function openRelay(): Promise<{ environment: Environment; close: () => Promise<void> }> {
  const { graphqlUrl, subscriptionsUrl, tenants } = await story().ready();
  const headers = { authorization: `Bearer ${tenants[0]?.tokens.operator ?? ""}` };
  const socket = createClient({ url: subscriptionsUrl, connectionParams: headers, retryAttempts: 0 });
  const network = relay.Network.create(
    async ({ text }, variables) => {
      const body = JSON.stringify({ query: text, variables });
      const init = { method: "POST", headers: { ...headers, "content-type": "application/json" }, body };
      return (await fetch(graphqlUrl, init)).json() as never;
    },
    ({ text }, variables) =>
      relay.Observable.create((sink) => socket.subscribe({ query: text ?? "", variables }, sink as never)),
  );
  const store = new relay.Store(new relay.RecordSource());
  return { environment: new relay.Environment({ network, store }), close: async () => socket.dispose() };
}

const fetchInto = async (environment: Environment, name: string, variables = {}): Promise<void> => {
  await relay.fetchQuery(environment, request(name), variables).toPromise();
};

/** What a component that shows the page has: each run through the fragment of its own component. */
function readRuns(environment: Environment) {
  const { data } = environment.lookup(
    relay.createOperationDescriptor(relay.getRequest(request("runsQuery")), {}).fragment,
  );
  const page = readFragment(environment, "runs_page", data) as {
    readonly runs: {
      readonly edges: readonly { readonly node: SelectorData }[];
      readonly pageInfo: { endCursor: string };
    };
  };
  const runs = page.runs.edges.map(({ node }) => readFragment(environment, "runs_run", node));
  return { runs, cursor: page.runs.pageInfo.endCursor };
}

function readFragment(environment: Environment, name: string, of: unknown): SelectorData {
  const selector = relay.getSelector(relay.getFragment(compiled(name)), of);
  if (selector?.kind !== "SingularReaderSelector") throw new Error("nothing to read");
  return environment.lookup(selector).data;
}

const start = (environment: Environment, prompt: string, connections: readonly string[]) =>
  new Promise<string>((resolve, reject) => {
    relay.commitMutation(environment, {
      mutation: request("runsStartMutation"),
      variables: { input: { agentKey: "handbook", prompt }, connections },
      onCompleted: (response) => {
        resolve((response as { startRun: { id: string } }).startRun.id);
      },
      onError: reject,
    });
  });

const follow = (environment: Environment, runId: string) =>
  new Promise<readonly number[]>((resolve, reject) => {
    const seqs: number[] = [];
    relay.requestSubscription(environment, {
      subscription: request("runsEventsSubscription"),
      variables: { runId },
      onNext: (response) => {
        seqs.push((response as { runEvents: { seq: number } }).runEvents.seq);
      },
      onCompleted: () => {
        resolve(seqs);
      },
      onError: reject,
    });
  });

it("pages through runs, starts one into the page, and sees it end by its events alone", async () => {
  const { environment, close } = await openRelay();
  for (const prompt of ["what causes flutter", "what causes buffeting"]) await start(environment, prompt, []);
  await fetchInto(environment, "runsQuery");
  const first = readRuns(environment);
  expect(first.runs).toMatchObject([{ prompt: "what causes buffeting", agent: { key: "handbook" } }]);

  await fetchInto(environment, "runsNextQuery", { count: 1, cursor: first.cursor });
  expect(readRuns(environment).runs).toMatchObject([...first.runs, { prompt: "what causes flutter" }]);

  const shown = relay.ConnectionHandler.getConnectionID("client:root", "runs_runs");
  const id = await start(environment, "what causes noise", [shown]);
  expect(readRuns(environment).runs.length).toBe(3);
  expect(readRuns(environment).runs[0]).toMatchObject({ id, prompt: "what causes noise", status: "CREATED" });

  const seqs = await follow(environment, id);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  expect(readRuns(environment).runs[0]).toMatchObject({ id, status: "COMPLETED" });

  await fetchInto(environment, "runsAgainQuery", { id });
  expect(readRuns(environment).runs[0]).toMatchObject({ id, status: "COMPLETED" });
  await close();
});
