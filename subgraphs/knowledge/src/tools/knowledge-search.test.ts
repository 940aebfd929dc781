import { callTool } from "@sba/integrations/index";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { expect, test } from "vitest";
import { givenCollection } from "../testing.ts";
import { knowledgeSearch } from "./knowledge-search.ts";

useDatabase();
const options = { signal: new AbortController().signal };

test("answers with numbered hits that can be cited", async () => {
  const caller = aCaller();
  const { id } = await givenCollection(caller, [
    { title: "Leave", text: "Thirty days of leave." },
    { title: "Sick leave", text: "Sick leave is paid." },
  ]);
  const call = await callTool(
    caller,
    { tool: knowledgeSearch, params: { query: "leave", topK: 2, collectionIds: [encodeId("Collection", id)] } },
    options,
  );
  expect(call).toMatchObject({ status: "SUCCEEDED", result: { hits: [{ number: 1 }, { number: 2 }] } });
  const { hits } = knowledgeSearch.result.parse(call.result) as {
    hits: { documentId: string; chunkId: string; title: string }[];
  };
  expect(hits.map(({ title }) => title).toSorted()).toEqual(["Leave", "Sick leave"]);
  expect(hits.every(({ documentId, chunkId }) => documentId.startsWith("doc_") && chunkId.startsWith("chk_"))).toBe(
    true,
  );
});

test("fails with a typed error for a collection that is not there, and without the permission", async () => {
  const caller = aCaller();
  const collectionIds = [encodeId("Collection", caller.tenantId)];
  expect(
    await callTool(caller, { tool: knowledgeSearch, params: { query: "leave", collectionIds } }, options),
  ).toMatchObject({
    status: "FAILED",
    error: { code: "KNOWLEDGE_COLLECTION_NOT_FOUND" },
  });
  const other = aColleagueOf(caller, ["run:start"]);
  await expect(callTool(other, { tool: knowledgeSearch, params: { query: "leave" } }, options)).rejects.toMatchObject({
    code: "PERMISSION_MISSING",
  });
});
