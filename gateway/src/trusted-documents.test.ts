import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { documentId, type Manifest } from "./manifests.ts";
import type { Member } from "./identity.testing.ts";
import { openTestSocket, serve, type Served } from "./testing.ts";
import { createWorld, type World } from "./world.testing.ts";

useDatabase();

const operation = (name: string, body: string) => ({ id: documentId(body), name, body });
const OLD = operation("Old", "query Old { whoAmI }");
const NEW = operation("New", "query New { whoAmI __typename }");
const MANIFESTS: readonly Manifest[] = [
  { client: "console", version: "1", operations: [OLD] },
  { client: "console", version: "2", operations: [NEW] },
];

let world: World;
let member: Member;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
  member = world.join(["run:read"]);
});

async function send({ gateway }: Served, body: object, headers: Record<string, string> = {}) {
  const response = await fetch(gateway.graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${await member.token()}`, ...headers },
    body: JSON.stringify(body),
  });
  const { data, errors } = (await response.json()) as {
    data?: unknown;
    errors?: [{ message: string; extensions: Record<string, unknown> }];
  };
  return { status: response.status, data, reason: errors?.[0].extensions["reason"], message: errors?.[0].message };
}
const byHash = (sha256Hash: string) => ({ extensions: { persistedQuery: { version: 1, sha256Hash } } });
const asVersion = (version: string) => ({
  "apollographql-client-name": "console",
  "apollographql-client-version": version,
});

describe("a gateway that answers only trusted documents", () => {
  let served: Served;
  beforeAll(async () => {
    served = await serve(world, "in process", { trustedDocuments: { manifests: MANIFESTS, only: true } });
  });
  afterAll(() => served.close());

  test("answers them by hash and by text, in either form of the hash", async () => {
    const data = { whoAmI: member.principalId };
    expect(await send(served, byHash(OLD.id))).toMatchObject({ status: 200, data });
    expect(await send(served, { documentId: `sha256:${OLD.id}` })).toMatchObject({ status: 200, data });
    expect(await send(served, { query: OLD.body })).toMatchObject({ status: 200, data });
    const get = await fetch(
      `${served.gateway.graphqlUrl}?extensions=${encodeURIComponent(JSON.stringify(byHash(OLD.id).extensions))}`,
      { headers: { authorization: `Bearer ${await member.token()}`, "apollo-require-preflight": "1" } },
    );
    expect(await get.json()).toMatchObject({ data });
  });

  test("refuses any other, by whatever it is sent, and does not learn it", async () => {
    const query = "{ whoAmI }";
    for (const body of [{ query }, { query, ...byHash(documentId(query)) }, byHash(documentId(query))])
      expect(await send(served, body)).toMatchObject({ status: 403, reason: "DOCUMENT_NOT_TRUSTED", data: undefined });
    const socket = await openTestSocket(served, { authorization: `Bearer ${await member.token()}` });
    expect(await socket.subscribe(query).next()).toMatchObject({
      final: true,
      errors: [{ extensions: { code: "FORBIDDEN", reason: "DOCUMENT_NOT_TRUSTED" } }],
    });
    expect(await socket.subscribe(OLD.body).next()).toEqual({ data: { whoAmI: member.principalId } });
    await socket.close();
  });

  test("gives a registered client version its own documents, and no other version's", async () => {
    expect((await send(served, byHash(NEW.id), asVersion("2"))).status).toBe(200);
    expect(await send(served, byHash(OLD.id), asVersion("2"))).toMatchObject({ status: 403 });
  });
});

describe("a gateway that answers any document", () => {
  let served: Served;
  beforeAll(async () => {
    served = await serve(world, "in process", { trustedDocuments: { manifests: MANIFESTS, only: false } });
  });
  afterAll(() => served.close());

  test("keeps a text that is left with its hash, and is asked for it by that", async () => {
    const query = "query Kept { whoAmI }";
    const asked = byHash(documentId(query));
    expect(await send(served, asked)).toMatchObject({
      status: 200,
      message: "PersistedQueryNotFound",
      reason: "PERSISTED_QUERY_NOT_FOUND",
    });
    expect((await send(served, { query, ...asked })).status).toBe(200);
    expect(await send(served, asked)).toMatchObject({ status: 200, data: { whoAmI: member.principalId } });
  });

  test("keeps nothing under a hash that is not the text's", async () => {
    const hash = documentId("another text");
    expect(await send(served, { query: "{ whoAmI }", ...byHash(hash) })).toMatchObject({
      status: 400,
      reason: "DOCUMENT_HASH_WRONG",
    });
    expect((await send(served, byHash(hash))).reason).toBe("PERSISTED_QUERY_NOT_FOUND");
  });
});
