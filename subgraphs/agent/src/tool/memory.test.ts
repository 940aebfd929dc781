import { executeTool } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { memoryRead } from "./memory-read.ts";
import { memoryWrite } from "./memory-write.ts";

useDatabase();

const { signal } = new AbortController();

async function call(caller: Caller, tool: typeof memoryWrite, given: object, agentKey: string | null = "support") {
  const params = tool.params.parse(given);
  const outcome = await executeTool(caller, tool, { id: newId(), params, runId: newId(), agentKey }, { signal });
  return outcome.ok ? outcome.result : outcome.error;
}

describe("the memory of an agent", () => {
  it("gives a later run what an earlier one wrote down", async () => {
    const caller = aCaller();
    const written = await call(caller, memoryWrite, { key: "acme.tone", text: " Short answers. " });
    expect(written).toMatchObject({ key: "acme.tone", scope: "AGENT", expiresAt: expect.stringMatching(/Z$/) });
    expect(await call(caller, memoryRead, { key: "acme.tone" })).toEqual({
      notes: [
        { key: "acme.tone", scope: "AGENT", text: "Short answers.", isCut: false, updatedAt: expect.any(String) },
      ],
      hasMore: false,
    });
  });

  it("gives both notes of a key: the agent's and the one that all share", async () => {
    const caller = aCaller();
    await call(caller, memoryWrite, { key: "tone", text: "Ours." });
    await call(caller, memoryWrite, { key: "tone", text: "Everybody's.", scope: "TENANT" });
    expect(await call(caller, memoryRead, { key: "tone" })).toMatchObject({
      notes: [
        { scope: "TENANT", text: "Everybody's." },
        { scope: "AGENT", text: "Ours." },
      ],
    });
    expect(await call(caller, memoryRead, { key: "tone" }, "sales")).toMatchObject({ notes: [{ scope: "TENANT" }] });
  });

  it("shows many notes at a glance, the latest first, cut between characters", async () => {
    const caller = aCaller();
    for (let n = 0; n < 51; n++) await call(caller, memoryWrite, { key: `k${n}`, text: "x" });
    await call(caller, memoryWrite, { key: "long", text: `${"x".repeat(199)}😀 and more` });
    const { notes, hasMore } = (await call(caller, memoryRead, {})) as { notes: { key: string }[]; hasMore: boolean };
    expect(notes.slice(0, 2)).toMatchObject([
      { key: "long", text: "x".repeat(199), isCut: true },
      { key: "k50", text: "x", isCut: false },
    ]);
    expect([notes.length, hasMore]).toEqual([50, true]);
    expect(await call(caller, memoryRead, { key: "long" })).toMatchObject({
      notes: [{ text: `${"x".repeat(199)}😀 and more`, isCut: false }],
    });
  });

  it("tells the model what is wrong with what it wrote", async () => {
    expect(await call(aCaller(), memoryWrite, { key: "tone", text: "x" }, null)).toMatchObject({
      code: "AGENT_NOTE_WITHOUT_AGENT",
    });
    const accepts = (given: object) => memoryWrite.params.safeParse({ key: "k", text: "x", ...given }).success;
    expect(accepts({})).toBe(true);
    expect(accepts({ text: "x".repeat(8_000), ttlSeconds: 60 })).toBe(true);
    for (const given of [
      { key: "Tone" },
      { key: "" },
      { key: "a".repeat(101) },
      { text: " " },
      { text: "x".repeat(8_001) },
      { ttlSeconds: 59 },
      { ttlSeconds: 400 * 86_400 },
      { scope: "WORLD" },
    ]) {
      expect(accepts(given), JSON.stringify(given)).toBe(false);
    }
  });
});
