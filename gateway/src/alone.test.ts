import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { composeServices } from "@apollo/composition";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";
import { createClient } from "graphql-ws";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";

/** `SUPERGRAPH=file PORT=0 AUTH=off npm run gateway`: before subgraphs that are not ours, without a database. */

const SDL = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@authenticated"])
  type Query { books: [Book!]!  secret: String @authenticated }
  type Book @key(fields: "id") { id: ID! title: String! }
`);

let folder: string;
let books: ApolloServer;
let supergraph: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gateway-alone-"));
  const schema = buildSubgraphSchema({
    typeDefs: SDL,
    resolvers: { Query: { books: () => [{ id: "1", title: "Moby-Dick" }], secret: () => "told" } },
  });
  books = new ApolloServer({ schema });
  const { url } = await startStandaloneServer(books, { listen: { port: 0, host: "127.0.0.1" } });
  const composed = composeServices([{ name: "books", url: url.replace("localhost", "127.0.0.1"), typeDefs: SDL }]);
  supergraph = join(folder, "supergraph.graphql");
  await writeFile(supergraph, composed.supergraphSdl ?? "");
});
afterAll(async () => {
  await books.stop();
  await rm(folder, { recursive: true });
});

function startAlone(environment: Readonly<Record<string, string>>): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: { PATH: process.env["PATH"], SUPERGRAPH: supergraph, PORT: "0", AUTH: "off", ...environment },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
}

async function readyOf(
  child: ChildProcess,
): Promise<{ readonly graphqlUrl: string; readonly subscriptionsUrl: string }> {
  const [ready] = (await once(child, "message")) as [
    { readonly graphqlUrl: string; readonly subscriptionsUrl: string },
  ];
  return ready;
}

test("a gateway alone answers anybody, over HTTP and sockets, with its limits on", async () => {
  const gateway = startAlone({});
  try {
    const { graphqlUrl, subscriptionsUrl } = await readyOf(gateway);
    const ask = async (query: string) => {
      const response = await fetch(graphqlUrl, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ query }),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    expect((await ask("{ books { title } secret }")).body).toEqual({
      data: { books: [{ title: "Moby-Dick" }], secret: "told" },
      extensions: { cost: expect.objectContaining({ estimated: 10, actual: 1 }) },
    });
    expect(await ask(`{ ${"a { ".repeat(15)} b ${"}".repeat(15)} }`)).toMatchObject({ status: 400 });
    const client = createClient({ url: subscriptionsUrl, webSocketImpl: WebSocket, retryAttempts: 0 });
    const answers = client.iterate({ query: "{ books { id } }" });
    expect((await answers.next()).value).toMatchObject({ data: { books: [{ id: "1" }] } });
    await client.dispose();
    expect((await fetch(new URL("/readyz", graphqlUrl))).status).toBe(200);
  } finally {
    gateway.kill("SIGTERM");
    await once(gateway, "exit");
  }
});

test("a gateway of production does not start without authentication", async () => {
  const gateway = startAlone({ NODE_ENV: "production", SECRET_KEY: "k".repeat(32) });
  const said: Buffer[] = [];
  gateway.stderr?.on("data", (chunk: Buffer) => said.push(chunk));
  gateway.stdout?.on("data", (chunk: Buffer) => said.push(chunk));
  const [code] = (await once(gateway, "exit")) as [number];
  expect(code).toBe(1);
  expect(Buffer.concat(said).toString()).toContain("AUTH: cannot be off when NODE_ENV is production");
});
