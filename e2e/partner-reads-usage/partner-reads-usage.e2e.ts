import {
  AgentsDocument,
  ApprovalEventsDocument,
  ApprovalsDocument,
  CancelRunDocument,
  CreateCollectionDocument,
  MeDocument,
  RunDocument,
  RunEventLogDocument,
  RunsDocument,
  SearchKnowledgeDocument,
  StartRunDocument,
  ToolsDocument,
  UsageDocument,
} from "@sba/client";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { collectEvents, useSystem } from "../story.ts";

const story = useSystem();
const FORBIDDEN = { code: "FORBIDDEN", reason: "PERMISSION_MISSING" };

describe("a partner with an API key that holds usage:read", () => {
  it("sees who it is and what was used", async () => {
    const partner = story().client("partner");
    const { me } = await partner.query(MeDocument);
    expect(me).toMatchObject({ email: null, permissions: ["usage:read"], roles: [{ key: "partner" }] });
    const window = { from: "2026-01-01T00:00:00Z", to: "2027-01-01T00:00:00Z", granularity: "MONTH" as const };
    const { usage } = await partner.query(UsageDocument, { ...window, groupBy: ["METER", "AGENT"] });
    for (const { meter, quantity, cost } of usage.totals) {
      const rows = usage.edges.filter(({ node }) => node.meter === meter).map(({ node }) => node);
      expect(
        rows.reduce((sum, row) => sum + BigInt(row.quantity), 0n),
        meter,
      ).toBe(BigInt(quantity));
      expect(
        rows.reduce((sum, row) => sum + BigInt(row.cost.amountMicros), 0n),
        meter,
      ).toBe(BigInt(cost.amountMicros));
    }
    expect(usage.totals.map(({ meter }) => meter)).toContain("knowledge.chunksIndexed");
  });

  it("is refused everything else, before anything is fetched", async () => {
    const partner = story().client("partner");
    const { startRun } = await story()
      .client("operator")
      .mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    await expect(partner.query(AgentsDocument)).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.query(RunsDocument)).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.query(RunDocument, { id: startRun.id })).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.query(RunEventLogDocument, { runId: startRun.id })).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.query(ApprovalsDocument)).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.query(ToolsDocument)).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.query(SearchKnowledgeDocument, { query: "wing" })).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.mutate(StartRunDocument, { agentKey: "handbook", prompt: "?" })).rejects.toMatchObject(
      FORBIDDEN,
    );
    await expect(partner.mutate(CancelRunDocument, { runId: startRun.id })).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.mutate(CreateCollectionDocument, { name: "mine" })).rejects.toMatchObject(FORBIDDEN);
    await expect(collectEvents(partner, startRun.id)).rejects.toMatchObject(FORBIDDEN);
    await expect(partner.subscribe(ApprovalEventsDocument).next()).rejects.toMatchObject(FORBIDDEN);
  });
});
