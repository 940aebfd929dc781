import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { openEgress } from "@sba/platform/egress";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createCollection } from "../collection/collection.ts";
import { addDocuments, getIngestion } from "../ingestion/ingestion.ts";
import { runIngestion } from "../ingestion/run-ingestion.ts";
import { MAX_ATTEMPTS } from "../ingestion/ingestion.state.ts";
import { searchKnowledge } from "../retrieval/retrieval.ts";
import { givenCollection } from "../testing.ts";
import { localEmbedder } from "./embedding.local.ts";
import { useEmbedder } from "./embedder.ts";
import { openaiEmbedder } from "./embedding.openai.ts";

useDatabase();

interface Asked {
  readonly path: string | undefined;
  readonly authorization: string | undefined;
  readonly body: { readonly model: string; readonly input: string[] };
}

const asked: Asked[] = [];
/** What the server does with its next requests; afterwards it answers well. */
const script: ((response: ServerResponse, asked: Asked) => void)[] = [];
const server = createServer((request, response) => {
  void answer(request, response);
});
let baseUrl = "";
let closeEgress: () => Promise<void>;
const { signal } = new AbortController();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const now: Asked = {
    path: request.url,
    authorization: request.headers.authorization,
    body: JSON.parse(Buffer.concat(pieces).toString()) as Asked["body"],
  };
  asked.push(now);
  (script.shift() ?? well)(response, now);
}

/** Subjects instead of words; in an order of its own, as the API may. */
function well(response: ServerResponse, { body }: Asked): void {
  const data = body.input
    .map((text, index) => ({ index, embedding: /leave|vacation/i.test(text) ? [3, 0, 0] : [0, 2, 0] }))
    .toReversed();
  response.setHeader("content-type", "application/json").end(JSON.stringify({ data }));
}

const status =
  (code: number) =>
  (response: ServerResponse): void => {
    response.writeHead(code).end("{}");
  };
const says =
  (text: string) =>
  (response: ServerResponse): void => {
    response.end(text);
  };

beforeAll(async () => {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  closeEgress = openEgress({ allowedHosts: [], trustedUrls: [baseUrl] });
});
afterEach(() => {
  useEmbedder(localEmbedder);
  asked.length = 0;
  script.length = 0;
});
afterAll(async () => {
  await closeEgress();
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

const embedder = () => openaiEmbedder({ apiKey: "k", baseUrl, model: "m", backoffMs: 1 });

test("asks as the API wants it and gives vectors of length 1 in the order of the texts", async () => {
  const vectors = await embedder().embed(["leave", "pay"], signal);
  expect(asked).toEqual([
    {
      path: "/v1/embeddings",
      authorization: "Bearer k",
      body: { model: "m", input: ["leave", "pay"], encoding_format: "float" },
    },
  ]);
  expect(vectors).toEqual([Float32Array.from([1, 0, 0]), Float32Array.from([0, 1, 0])]);
});

test("asks in batches and cuts what no model takes", async () => {
  const vectors = await embedder().embed(
    Array.from({ length: 130 }, () => "x".repeat(20_000)),
    signal,
  );
  expect(vectors).toHaveLength(130);
  expect(asked.map(({ body }) => body.input.length)).toEqual([64, 64, 2]);
  expect(asked[0]?.body.input[0]).toHaveLength(8_000);
});

test("asks again when the server is busy, and not when the request is wrong", async () => {
  script.push(status(429), status(503));
  await expect(embedder().embed(["leave"], signal)).resolves.toHaveLength(1);
  expect(asked).toHaveLength(3);
  script.push(status(400));
  await expect(embedder().embed(["leave"], signal)).rejects.toMatchObject({
    code: "KNOWLEDGE_EMBEDDING_FAILED",
    retryable: false,
  });
  expect(asked).toHaveLength(4);
});

test("refuses answers that are no vectors, too few or of different lengths", async () => {
  const broken = [
    "not JSON",
    "{}",
    '{"data":[]}',
    '{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}',
  ];
  for (const text of broken) {
    script.push(says(text));
    await expect(embedder().embed(["a", "b"], signal)).rejects.toMatchObject({
      code: "KNOWLEDGE_EMBEDDING_FAILED",
      retryable: false,
    });
  }
});

test("ingests and finds by meaning through the endpoint", async () => {
  useEmbedder(embedder());
  const caller = aCaller();
  await givenCollection(caller, [
    { title: "Leave", text: "Thirty days of leave." },
    { title: "Pay", text: "Paid monthly." },
  ]);
  const hits = await searchKnowledge(caller, { query: "vacation", topK: 5 });
  expect(hits.map(({ document }) => document.title)).toEqual(["Leave"]);
});

test("leaves documents pending while the endpoint is away, until the last attempt fails them", async () => {
  useEmbedder(embedder());
  const caller = aCaller();
  const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
  const { id: ingestionId } = await addDocuments(caller, {
    collectionId,
    documents: [{ title: "Leave", text: "Thirty days." }],
  });
  const away = [status(503), status(503), status(503)];
  for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
    script.push(...away);
    await expect(runIngestion(caller, { ingestionId }, { signal })).rejects.toMatchObject({
      code: "KNOWLEDGE_EMBEDDING_FAILED",
    });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "PENDING" });
  }
  script.push(...away);
  await runIngestion(caller, { ingestionId }, { signal });
  expect(await getIngestion(caller, ingestionId)).toMatchObject({
    status: "FAILED",
    failures: [{ title: "Leave", message: "The embedding model did not answer as it should." }],
  });
});
