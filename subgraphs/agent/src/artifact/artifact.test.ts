import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { encodeId, newId } from "@sba/platform/ids";
import { startSubgraphServer, type RunningServer } from "@sba/platform/server";
import { internalHeaders } from "@sba/platform/internal-token";
import { signLink, useSecretKey, verifyLink } from "@sba/platform/secrets";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { usePublicUrl } from "@sba/platform/public-url";
import { schema } from "../schema.ts";
import { createArtifact, findArtifacts, listArtifacts } from "./artifact.ts";
import { blobStore } from "@sba/platform/blobs";
import { artifactRoute, downloadUrl } from "./download.ts";

const database = useDatabase();
useBlobs();
useSecretKey("a-secret-key-that-only-tests-know");

const anInput = (text = "# Hello") => ({
  id: newId(),
  runId: newId(),
  name: "Hello.md",
  mediaType: "text/markdown",
  bytes: Buffer.from(text),
});

describe("createArtifact", () => {
  it("stores the bytes and a row that says what they are", async () => {
    const caller = aCaller();
    const input = anInput();
    const artifact = await createArtifact(caller, input);
    const sha256 = createHash("sha256").update("# Hello").digest("hex");
    expect(artifact).toMatchObject({
      id: input.id,
      runId: input.runId,
      name: "Hello.md",
      mediaType: "text/markdown",
      sizeBytes: 7n,
      sha256,
    });
    expect(await listArtifacts(caller, [input.runId])).toEqual([artifact]);
  });

  it("makes one artifact of a call that is repeated, also at once", async () => {
    const caller = aCaller();
    const input = anInput();
    const made = await Promise.all([createArtifact(caller, input), createArtifact(caller, input)]);
    expect(made[0]).toEqual(made[1]);
    expect(await createArtifact(caller, input)).toEqual(made[0]);
    expect(await findArtifacts(caller, [input.id])).toHaveLength(1);
  });

  it("finishes what a crash left between the bytes and the row", async () => {
    const caller = aCaller();
    const input = anInput("left behind");
    const { blobKey } = await createArtifact(caller, input);
    await database().owner.query("DELETE FROM agent.artifact WHERE id = $1", [input.id]);
    expect(await blobStore().find(blobKey)).toBeDefined();
    expect((await createArtifact(caller, input)).blobKey).toBe(blobKey);
  });

  it("keeps the same content of two tenants apart", async () => {
    const [one, other] = [aCaller(), aCaller()];
    const [a, b] = [await createArtifact(one, anInput("same")), await createArtifact(other, anInput("same"))];
    expect(a.sha256).toBe(b.sha256);
    expect(a.blobKey).not.toBe(b.blobKey);
    expect(await findArtifacts(one, [b.id])).toEqual([]);
    expect(await listArtifacts(one, [b.runId!])).toEqual([]);
  });
});

describe("Artifact", () => {
  const show = (id: string, seconds = 300): string => `{
    _entities(representations: [{ __typename: "Artifact", id: "${id}" }]) {
      ... on Artifact { id name mediaType sizeBytes createdAt downloadUrl(expiresInSeconds: ${seconds}) }
    }
  }`;

  it("shows what it is and a link that ends by itself", async () => {
    const caller = aCaller();
    const artifact = await createArtifact(caller, anInput());
    const id = encodeId("Artifact", artifact.id);
    const {
      _entities: [shown],
    } = await expectData(schema, caller, show(id));
    expect(shown).toMatchObject({
      id,
      name: "Hello.md",
      mediaType: "text/markdown",
      sizeBytes: "7",
      createdAt: artifact.createdAt.toISOString(),
    });
    expect(verifyLink("artifact", String(shown.downloadUrl).replace("/artifacts/", ""))).toEqual({
      tenantId: caller.tenantId,
      artifactId: artifact.id,
    });
  });

  it("gives links of one second to seven days", async () => {
    const caller = aCaller();
    const id = encodeId("Artifact", (await createArtifact(caller, anInput())).id);
    for (const seconds of [1, 604_800])
      expect((await expectData(schema, caller, show(id, seconds)))._entities).toHaveLength(1);
    for (const seconds of [0, -1, 604_801])
      expect(await expectRefusal(schema, caller, show(id, seconds))).toMatchObject({ code: "BAD_USER_INPUT" });
  });

  it("is not found by another tenant, and not shown without run:read", async () => {
    const caller = aCaller();
    const id = encodeId("Artifact", (await createArtifact(caller, anInput())).id);
    expect(await expectRefusal(schema, aCaller(), show(id))).toMatchObject({
      code: "NOT_FOUND",
      reason: "AGENT_ARTIFACT_NOT_FOUND",
    });
    expect(await expectRefusal(schema, aColleagueOf(caller, ["usage:read"]), show(id))).toMatchObject({
      code: "FORBIDDEN",
    });
  });
});

describe("GET /artifacts/:signed", () => {
  let server: RunningServer;
  let headers: Record<string, string>;
  beforeAll(async () => {
    server = await startSubgraphServer(
      { name: "agent", schema, routes: [artifactRoute] },
      { host: "127.0.0.1", port: 0 },
    );
    usePublicUrl(`${server.url}/`);
    headers = internalHeaders({ caller: undefined, internal: false, requestId: "test" });
  });
  afterAll(async () => {
    usePublicUrl(undefined);
    await server.close();
  });
  const get = (url: string): Promise<Response> => fetch(url, { headers });
  const refusal = async (url: string) => {
    const response = await get(url);
    const { errors } = (await response.json()) as { errors: { extensions: { reason: string } }[] };
    return { status: response.status, reason: errors[0]?.extensions.reason };
  };

  it("gives the bytes to be saved, never to be shown as part of this site", async () => {
    const artifact = await createArtifact(aCaller(), {
      ...anInput("<script>alert(1)</script>"),
      name: 'Größe "x"; (1)*.html',
      mediaType: "text/html",
    });
    const response = await get(downloadUrl(artifact, 60));
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("<script>alert(1)</script>");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "content-length": "25",
      "content-disposition": "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%22x%22%3B%20%281%29%2A.html",
      "x-content-type-options": "nosniff",
      "content-security-policy": "sandbox",
      "cache-control": "private, no-store",
    });
  });

  it("refuses a link that has expired, saying so", async () => {
    const artifact = await createArtifact(aCaller(), anInput());
    expect(await refusal(downloadUrl(artifact, -1))).toEqual({ status: 403, reason: "LINK_EXPIRED" });
  });

  it("finds nothing behind a link that was changed, made for something else or never given out", async () => {
    const artifact = await createArtifact(aCaller(), anInput());
    const good = downloadUrl(artifact, 60);
    const inAMinute = new Date(Date.now() + 60_000);
    const links = [
      `${good.slice(0, -4)}AAAA`,
      `${server.url}/artifacts/nonsense`,
      `${server.url}/artifacts/${signLink("upload", { tenantId: artifact.tenantId, artifactId: artifact.id }, inAMinute)}`,
      `${server.url}/artifacts/${signLink("artifact", { tenantId: "'; DROP", artifactId: artifact.id }, inAMinute)}`,
      downloadUrl({ tenantId: newId(), id: artifact.id }, 60),
      downloadUrl({ tenantId: artifact.tenantId, id: newId() }, 60),
    ];
    for (const link of links) expect(await refusal(link)).toEqual({ status: 404, reason: "AGENT_ARTIFACT_NOT_FOUND" });
    expect((await get(good)).status).toBe(200);
  });

  it("finds nothing when the bytes are gone", async () => {
    const caller = aCaller();
    const artifact = await createArtifact(caller, anInput("soon gone"));
    const stream = await blobStore().find(artifact.blobKey);
    await rm(String((stream as unknown as { path: string }).path));
    expect(await refusal(downloadUrl(artifact, 60))).toEqual({ status: 404, reason: "AGENT_ARTIFACT_NOT_FOUND" });
  });

  it("gives a path on the gateway's own address when no outside address is known", () => {
    usePublicUrl(undefined);
    expect(downloadUrl({ tenantId: newId(), id: newId() }, 60)).toMatch(/^\/artifacts\/[\w-]+\.[\w-]+$/);
    usePublicUrl(server.url);
  });
});
