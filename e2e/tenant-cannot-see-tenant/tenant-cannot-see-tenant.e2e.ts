import {
  AddDocumentsDocument,
  ApiKeysDocument,
  ApprovalsDocument,
  AuditEntriesDocument,
  CancelRunDocument,
  ContinueRunDocument,
  CreateApiKeyDocument,
  CreateCollectionDocument,
  CreateSessionDocument,
  DecideApprovalDocument,
  EndSessionDocument,
  IngestionEventsDocument,
  MeDocument,
  MembersDocument,
  RemoveMemberDocument,
  RevokeApiKeyDocument,
  RunDocument,
  RunEventLogDocument,
  RunsDocument,
  SearchKnowledgeDocument,
  SessionsDocument,
  SetMemberRolesDocument,
  SetMemberStatusDocument,
  SignInDocument,
  StartRunDocument,
  UsageDocument,
} from "@sba/client";
import { describe, expect, it } from "vitest";
import { collectEvents, eventually, useSystem } from "../story.ts";

const story = useSystem();
const NOT_FOUND = { code: "NOT_FOUND" };

/** One of each thing that tenant 1 can own, with its ids. */
async function ownEverything() {
  const owner = story().client("owner");
  const { createCollection } = await owner.mutate(CreateCollectionDocument, { name: `secret ${Date.now()}` });
  const secret = `zebrafish${Date.now()}`;
  const { addDocuments } = await owner.mutate(AddDocumentsDocument, {
    collectionId: createCollection.id,
    documents: [{ title: "Secret", text: `The ${secret} is only for tenant one.` }],
  });
  for await (const { ingestionEvents } of owner.subscribe(IngestionEventsDocument, {
    ingestionId: addDocuments.ingestion.id,
  })) {
    if (ingestionEvents.ingestion.documentsReady === 1) break;
  }
  const { searchKnowledge } = await owner.query(SearchKnowledgeDocument, { query: secret });
  const [hit] = searchKnowledge.hits;
  const { startRun } = await owner.mutate(StartRunDocument, {
    agentKey: "assistant",
    prompt: `Create a task to feed the ${secret}`,
  });
  const approval = await eventually(
    async () => (await owner.query(ApprovalsDocument, { filter: { runId: startRun.id } })).approvals.edges[0]?.node,
    { timeoutMs: 15_000 },
  );
  return {
    secret,
    collectionId: createCollection.id,
    ingestionId: addDocuments.ingestion.id,
    documentId: hit!.document.id,
    chunkId: hit!.chunk.id,
    runId: startRun.id,
    threadId: startRun.thread.id,
    approval,
  };
}

interface Answer<Data> {
  readonly data?: Data;
  readonly errors?: { readonly extensions: { readonly code: string } }[];
}

/** What nothing of the contract has a document for. */
async function post<Data>(token: string, query: string, variables: object): Promise<Answer<Data>> {
  const response = await fetch(story().graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()) as Answer<Data>;
}

/** Any id, over `node`. */
const nodeOf = (token: string, id: string) =>
  post<{ node: { id: string } | null }>(token, "query Node($id: ID!) { node(id: $id) { __typename id } }", { id });

/** A file that was announced and sent, and is no document yet. */
async function upload(token: string, text: string): Promise<string> {
  const { data } = await post<{
    createUpload: {
      upload: { id: string };
      request: { url: string; method: string; headers: { name: string; value: string }[] };
    };
  }>(
    token,
    `mutation CreateUpload($sizeBytes: Int!) {
      createUpload(input: { fileName: "secret.txt", mediaType: "text/plain", sizeBytes: $sizeBytes }) {
        upload { id }
        request { url method headers { name value } }
      }
    }`,
    { sizeBytes: Buffer.byteLength(text) },
  );
  const { request, upload: announced } = data!.createUpload;
  const headers = request.headers.map(({ name, value }): [string, string] => [name, value]);
  const sent = await fetch(new URL(request.url, story().graphqlUrl), { method: request.method, headers, body: text });
  expect(sent.ok).toBe(true);
  return announced.id;
}

describe("a tenant cannot see another tenant", () => {
  it("by any id, over any operation", async () => {
    const owned = await ownEverything();
    const { tenants } = await story().ready();
    const stranger = story().client("owner", 1);
    const strangerToken = tenants[1]!.tokens.owner;

    await expect(stranger.query(RunDocument, { id: owned.runId })).rejects.toMatchObject(NOT_FOUND);
    await expect(stranger.query(RunEventLogDocument, { runId: owned.runId })).rejects.toMatchObject(NOT_FOUND);
    await expect(collectEvents(stranger, owned.runId)).rejects.toMatchObject(NOT_FOUND);
    await expect(stranger.mutate(CancelRunDocument, { runId: owned.runId })).rejects.toMatchObject(NOT_FOUND);
    await expect(stranger.mutate(ContinueRunDocument, { runId: owned.runId, input: "x" })).rejects.toMatchObject(
      NOT_FOUND,
    );
    await expect(
      stranger.mutate(StartRunDocument, { agentKey: "handbook", prompt: "x", threadId: owned.threadId }),
    ).rejects.toMatchObject(NOT_FOUND);
    const { id: approvalId, fingerprint, version: expectedVersion } = owned.approval;
    await expect(
      stranger.mutate(DecideApprovalDocument, { approvalId, fingerprint, expectedVersion, decision: "APPROVED" }),
    ).rejects.toMatchObject(NOT_FOUND);
    await expect(
      stranger.mutate(AddDocumentsDocument, {
        collectionId: owned.collectionId,
        documents: [{ title: "t", text: "t" }],
      }),
    ).rejects.toMatchObject(NOT_FOUND);
    await expect(
      stranger.subscribe(IngestionEventsDocument, { ingestionId: owned.ingestionId }).next(),
    ).rejects.toMatchObject(NOT_FOUND);
    await expect(
      stranger.query(SearchKnowledgeDocument, { query: owned.secret, collectionIds: [owned.collectionId] }),
    ).rejects.toMatchObject(NOT_FOUND);

    const ids = [
      tenants[0]!.id,
      owned.runId,
      approvalId,
      owned.collectionId,
      owned.documentId,
      owned.chunkId,
      owned.ingestionId,
    ];
    for (const id of ids) {
      expect((await nodeOf(tenants[0]!.tokens.owner, id)).data?.node, id).toMatchObject({ id });
      const refused = await nodeOf(strangerToken, id);
      expect(refused.data?.node ?? null, id).toBeNull();
      expect(refused.errors?.[0]?.extensions.code, id).toBe("NOT_FOUND");
    }
  });

  it("by the id of a file that was sent, which stays its owner's", async () => {
    const { tenants } = await story().ready();
    const uploadId = await upload(tenants[0]!.tokens.owner, "Only for tenant one.");
    const add = async (index: 0 | 1) => {
      const client = story().client("owner", index);
      const { createCollection } = await client.mutate(CreateCollectionDocument, { name: `uploads ${Date.now()}` });
      const documents = [{ title: "Secret", uploadId }];
      return client.mutate(AddDocumentsDocument, { collectionId: createCollection.id, documents });
    };
    await expect(add(1)).rejects.toMatchObject(NOT_FOUND);
    expect((await add(0)).addDocuments.ingestion.documentsTotal).toBe(1);
  });

  it("in any list or search", async () => {
    const owned = await ownEverything();
    const stranger = story().client("owner", 1);
    const { runs } = await stranger.query(RunsDocument, { first: 100 });
    expect(runs.edges.map(({ node }) => node.id)).not.toContain(owned.runId);
    expect((await stranger.query(RunsDocument, { filter: { threadId: owned.threadId } })).runs.edges).toEqual([]);
    expect((await stranger.query(ApprovalsDocument, { filter: { runId: owned.runId } })).approvals.edges).toEqual([]);
    const { searchKnowledge } = await stranger.query(SearchKnowledgeDocument, { query: owned.secret });
    expect(searchKnowledge.hits.filter(({ chunk }) => chunk.text.includes(owned.secret))).toEqual([]);
    const window = {
      from: "2026-01-01T00:00:00Z",
      to: "2027-01-01T00:00:00Z",
      granularity: "MONTH" as const,
      groupBy: ["AGENT" as const],
    };
    const { usage } = await story().client("partner", 1).query(UsageDocument, window);
    expect(usage.edges.map(({ node }) => node.agentKey)).not.toContain("assistant");
  });

  it("by its people, keys, sessions and log, nor change them", async () => {
    const [owner, stranger] = [story().client("owner"), story().client("owner", 1)];
    const { createApiKey } = await owner.mutate(CreateApiKeyDocument, { name: "Ours", roles: ["partner"] });
    const { createSession } = await owner.mutate(CreateSessionDocument, {});
    const { me } = await story().client("operator").query(MeDocument);
    const { members } = await owner.query(MembersDocument, {});
    const memberId = members.edges.find(({ node }) => node.principal?.id === me.id)!.node.id;
    const [apiKeyId, sessionId] = [createApiKey.apiKey.id, createSession.session.id];
    const { auditEntries } = await owner.query(AuditEntriesDocument, { first: 1 });
    for (const attempt of [
      () => stranger.mutate(RevokeApiKeyDocument, { apiKeyId }),
      () => stranger.mutate(EndSessionDocument, { sessionId }),
      () => stranger.mutate(SetMemberRolesDocument, { memberId, roles: ["owner"] }),
      () => stranger.mutate(SetMemberStatusDocument, { memberId, status: "SUSPENDED" as const }),
      () => stranger.mutate(RemoveMemberDocument, { memberId }),
    ])
      await expect(attempt()).rejects.toMatchObject(NOT_FOUND);
    const { tenants } = await story().ready();
    for (const id of [memberId, apiKeyId, sessionId, auditEntries.edges[0]!.node.id]) {
      expect((await nodeOf(tenants[0]!.tokens.owner, id)).data?.node, id).toMatchObject({ id });
      const refused = await nodeOf(tenants[1]!.tokens.owner, id);
      expect(refused.errors?.[0]?.extensions.code, id).toBe("NOT_FOUND");
    }
    const theirs = JSON.stringify([
      await stranger.query(MembersDocument, { first: 100 }),
      await stranger.query(ApiKeysDocument, { first: 100 }),
      await stranger.query(SessionsDocument, { first: 100 }),
      await stranger.query(AuditEntriesDocument, { first: 100, filter: { target: apiKeyId } }),
    ]);
    for (const id of [memberId, apiKeyId, sessionId, me.id]) expect(theirs).not.toContain(id);
    expect((await owner.mutate(RevokeApiKeyDocument, { apiKeyId })).revokeApiKey.id).toBe(apiKeyId);
    await owner.mutate(EndSessionDocument, { sessionId });
  });

  it("by signing in to a tenant that one does not belong to", async () => {
    await expect(
      story().clientWith(undefined).mutate(SignInDocument, { email: "owner@acme.example", password: "wrong" }),
    ).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });
});
