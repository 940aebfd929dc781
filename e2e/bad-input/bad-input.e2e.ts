import { createHmac } from "node:crypto";
import { request as httpRequest } from "node:http";
import {
  AddDocumentsDocument,
  CreateCollectionDocument,
  MeDocument,
  RunDocument,
  RunsDocument,
  SearchKnowledgeDocument,
  SignInDocument,
  StartRunDocument,
  UsageDocument,
} from "@sba/client";
import { describe, expect, it } from "vitest";
import { askTheHandbook, QUESTION } from "../ask-the-handbook/main-job.ts";
import { collectEvents, useSystem } from "../story.ts";

const story = useSystem();
const UNAUTHENTICATED = { code: "UNAUTHENTICATED" };
const INVALID = { code: "BAD_USER_INPUT" };
const UNKNOWN_RUN = "run_00000000000000000000000000";

/** The same claims with a changed part, signed by nobody, or by a key of the forger's. */
function forge(
  token: string,
  change: (claims: Record<string, unknown>) => Record<string, unknown>,
  header?: Record<string, unknown>,
): string {
  const [head, body, signature] = token.split(".");
  const decode = (part: string | undefined) =>
    JSON.parse(Buffer.from(part ?? "", "base64url").toString()) as Record<string, unknown>;
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${encode(header ?? decode(head))}.${encode(change(decode(body)))}`;
  if (header?.["alg"] === "HS256")
    return `${signed}.${createHmac("sha256", "guess").update(signed).digest("base64url")}`;
  return `${signed}.${header?.["alg"] === "none" ? "" : (signature ?? "")}`;
}

async function post(body: string, headers: Record<string, string> = {}) {
  const response = await fetch(story().graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  const text = await response.text();
  return {
    status: response.status,
    body: JSON.parse(text) as { errors?: { extensions: Record<string, unknown> }[] },
    text,
  };
}

/** Announces a body of so many bytes and sends none of it: what is too large is refused before it is read. */
function statusOfBody(sizeBytes: number, headers: Record<string, string>): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const request = httpRequest(story().graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json", "content-length": String(sizeBytes), ...headers },
  });
  request.on("response", (response) => {
    resolve(response.statusCode);
    request.destroy();
  });
  request.on("error", reject);
  request.flushHeaders();
  return promise;
}

describe("bad input", () => {
  it("of credentials is UNAUTHENTICATED: none, junk, expired, forged, of another issuer, over HTTP and over the socket", async () => {
    const token = (await story().ready()).tenants[0]!.tokens.owner;
    const bad = [
      undefined,
      "junk",
      "sba_junk_junk",
      forge(token, (claims) => ({ ...claims, exp: 1_600_000_000 })),
      forge(token, (claims) => ({ ...claims, tid: "01a1fa96-0000-7000-8000-000000000000" })),
      forge(token, (claims) => claims, { alg: "none", typ: "JWT" }),
      forge(token, (claims) => claims, { alg: "HS256", typ: "JWT" }),
      forge(token, (claims) => ({ ...claims, iss: "https://elsewhere.example" })),
      `${token.slice(0, -4)}AAAA`,
    ];
    for (const each of bad) {
      await expect(story().clientWith(each).query(MeDocument), String(each).slice(0, 20)).rejects.toMatchObject(
        UNAUTHENTICATED,
      );
      await expect(
        collectEvents(story().clientWith(each), UNKNOWN_RUN),
        String(each).slice(0, 20),
      ).rejects.toMatchObject(UNAUTHENTICATED);
    }
  });

  it("of a password is one error, whether the user exists or not", async () => {
    const anybody = story().clientWith(undefined);
    const refused = { code: "UNAUTHENTICATED", reason: "IDENTITY_CREDENTIALS_INVALID" };
    await expect(
      anybody.mutate(SignInDocument, { email: "nobody@acme.example", password: "wrong-password" }),
    ).rejects.toMatchObject(refused);
    await expect(
      anybody.mutate(SignInDocument, { email: "viewer@acme.example", password: "wrong-password" }),
    ).rejects.toMatchObject(refused);
    await expect(anybody.mutate(SignInDocument, { email: "", password: "x" })).rejects.toMatchObject(INVALID);
  });

  it("of values names what is wrong and leaves nothing behind", async () => {
    const client = story().client("owner");
    const countRuns = async () => (await client.query(RunsDocument, { first: 100 })).runs.edges.length;
    const before = await countRuns();
    await expect(client.mutate(StartRunDocument, { agentKey: "handbook", prompt: "" })).rejects.toMatchObject(INVALID);
    await expect(client.mutate(StartRunDocument, { agentKey: "nobody", prompt: "x" })).rejects.toMatchObject({
      code: "NOT_FOUND",
      reason: "AGENT_AGENT_NOT_FOUND",
    });
    await expect(
      client.mutate(StartRunDocument, { agentKey: "handbook", prompt: "x", options: { topK: 0 } }),
    ).rejects.toMatchObject(INVALID);
    await expect(
      client.mutate(StartRunDocument, { agentKey: "handbook", prompt: "x", options: { budgetMicros: "-1" } }),
    ).rejects.toMatchObject(INVALID);
    await expect(
      client.mutate(StartRunDocument, { agentKey: "handbook", prompt: "x", idempotencyKey: "k".repeat(256) }),
    ).rejects.toMatchObject(INVALID);
    await expect(client.query(RunsDocument, { first: 0 })).rejects.toMatchObject(INVALID);
    await expect(client.query(RunsDocument, { first: 101 })).rejects.toMatchObject(INVALID);
    await expect(client.query(RunsDocument, { after: "junk" })).rejects.toMatchObject(INVALID);
    await expect(client.query(SearchKnowledgeDocument, { query: "" })).rejects.toMatchObject(INVALID);
    await expect(
      client.query(UsageDocument, { from: "2026-02-01T00:00:00Z", to: "2026-01-01T00:00:00Z", granularity: "DAY" }),
    ).rejects.toMatchObject(INVALID);
    await expect(
      client.query(UsageDocument, { from: "yesterday", to: "2026-01-01T00:00:00Z", granularity: "DAY" }),
    ).rejects.toMatchObject(INVALID);
    expect(await countRuns()).toBe(before);
  });

  it("of ids is NOT_FOUND when unknown and BAD_USER_INPUT when it is no id", async () => {
    const client = story().client("owner");
    await expect(client.query(RunDocument, { id: UNKNOWN_RUN })).rejects.toMatchObject({
      code: "NOT_FOUND",
      reason: "AGENT_RUN_NOT_FOUND",
    });
    await expect(client.query(RunDocument, { id: "junk" })).rejects.toMatchObject({ ...INVALID, reason: "ID_INVALID" });
    await expect(client.query(RunDocument, { id: "col_00000000000000000000000000" })).rejects.toMatchObject({
      ...INVALID,
      reason: "ID_INVALID",
    });
    await expect(collectEvents(client, UNKNOWN_RUN)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(collectEvents(client, "junk")).rejects.toMatchObject(INVALID);
  });

  it("of documents is refused whole when one is too large, too many, or of an unknown kind", async () => {
    const client = story().client("owner");
    const { createCollection } = await client.mutate(CreateCollectionDocument, { name: `bad input ${Date.now()}` });
    const add = (documents: { title: string; text: string; mediaType?: string }[]) =>
      client.mutate(AddDocumentsDocument, { collectionId: createCollection.id, documents });
    await expect(add([{ title: "too large", text: "x".repeat(1024 * 1024 + 1) }])).rejects.toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
    });
    await expect(add(Array.from({ length: 101 }, () => ({ title: "t", text: "t" })))).rejects.toMatchObject(INVALID);
    await expect(add([{ title: "t", text: "t", mediaType: "application/pdf" }])).rejects.toMatchObject(INVALID);
    await expect(
      client.mutate(AddDocumentsDocument, {
        collectionId: "col_00000000000000000000000000",
        documents: [{ title: "t", text: "t" }],
      }),
    ).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("of requests has the status and code that GraphQL over HTTP says", async () => {
    const token = (await story().ready()).tenants[0]!.tokens.owner;
    const authorization = { authorization: `Bearer ${token}` };
    expect((await post("{", authorization)).status).toBe(400);
    const syntax = await post(JSON.stringify({ query: "query {" }), authorization);
    expect(syntax).toMatchObject({ status: 400, body: { errors: [{ extensions: { code: "GRAPHQL_PARSE_FAILED" } }] } });
    const unknownField = await post(JSON.stringify({ query: "{ nothing }" }), authorization);
    expect(unknownField).toMatchObject({
      status: 400,
      body: { errors: [{ extensions: { code: "GRAPHQL_VALIDATION_FAILED" } }] },
    });
    expect(await statusOfBody(1024 ** 3, authorization)).toBe(413);
    for (const answer of [syntax, unknownField])
      expect(answer.text).not.toMatch(/\bat .*\.ts:|node_modules|postgres:\/\//);
  });

  it("leaves the system unharmed", async () => {
    await askTheHandbook({
      user: story().client("operator", 1),
      partner: story().client("partner", 1),
      question: QUESTION,
    });
  });
});
