import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { schema } from "../schema.ts";
import { defineTool } from "../tool/tool.ts";
import { unknownOutcome, type ToolOutcome } from "./execute.ts";
import { recordToolOutcome, requestToolCall } from "./tool-call.ts";

useDatabase();

const STATISTICS = /* GraphQL */ `
  query ($from: DateTime!, $to: DateTime!) {
    toolStatistics(from: $from, to: $to) {
      tool
      calls
      failures
      unknownOutcomes
      pending
      p50DurationMs
      p95DurationMs
      lastCalledAt
    }
  }
`;
const minutesFromNow = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString();
const lastHour = { from: minutesFromNow(-60), to: minutesFromNow(1) };

const tool = (name: string) =>
  defineTool({
    name,
    version: 1,
    description: "A tool that is only counted.",
    params: z.object({}),
    result: z.object({}),
    example: {},
    requires: ["knowledge:read"],
    approval: "NEVER",
    sideEffect: false,
    idempotent: true,
    timeoutMs: 1_000,
    execute: () => Promise.resolve({}),
  });
const succeeded = (durationMs: number): ToolOutcome => ({ ok: true, result: {}, durationMs });
const failed = (durationMs: number): ToolOutcome => ({
  ok: false,
  error: { code: "X", message: "no", retryable: false },
  durationMs,
});

async function aCall(caller: Caller, name: string, outcome?: ToolOutcome): Promise<void> {
  const id = newId();
  await withTenant(caller, async (tx) => {
    await requestToolCall(tx, caller, { id, tool: tool(name), params: {} });
    if (outcome) await recordToolOutcome(tx, caller, id, outcome);
  });
}

describe("Query.toolStatistics", () => {
  it("counts calls by tool and outcome, the most called first, with durations of those that ended", async () => {
    const caller = aCaller();
    for (let durationMs = 1; durationMs <= 20; durationMs++) await aCall(caller, "test.often", succeeded(durationMs));
    await aCall(caller, "test.often", failed(100));
    await aCall(caller, "test.seldom", unknownOutcome());
    await aCall(caller, "test.seldom");
    const { toolStatistics } = await expectData(schema, caller, STATISTICS, lastHour);
    expect(toolStatistics).toMatchObject([
      {
        tool: "test.often",
        calls: 21,
        failures: 1,
        unknownOutcomes: 0,
        pending: 0,
        p50DurationMs: 11,
        p95DurationMs: 20,
      },
      {
        tool: "test.seldom",
        calls: 2,
        failures: 0,
        unknownOutcomes: 1,
        pending: 1,
        p50DurationMs: null,
        p95DurationMs: null,
      },
    ]);
  });

  it("counts nothing outside the window and nothing of another tenant", async () => {
    const caller = aCaller();
    await aCall(caller, "test.often", succeeded(1));
    const before = await expectData(schema, caller, STATISTICS, { from: minutesFromNow(-60), to: minutesFromNow(-5) });
    expect(before.toolStatistics).toEqual([]);
    expect((await expectData(schema, aCaller(), STATISTICS, lastHour)).toolStatistics).toEqual([]);
  });

  it("refuses a window that ends before it begins or that is longer than 92 days", async () => {
    for (const window of [
      { from: lastHour.to, to: lastHour.from },
      { from: "2026-01-01T00:00:00Z", to: "2026-11-20T00:00:00Z" },
    ]) {
      expect(await expectRefusal(schema, aCaller(), STATISTICS, window)).toMatchObject({
        code: "BAD_USER_INPUT",
        reason: "INTEGRATIONS_STATISTICS_WINDOW_INVALID",
      });
    }
  });

  it("is for callers who may see integrations", async () => {
    const partner = aColleagueOf(aCaller(), ["usage:read"]);
    expect(await expectRefusal(schema, partner, STATISTICS, lastHour)).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectRefusal(schema, undefined, STATISTICS, lastHour)).toMatchObject({ code: "UNAUTHENTICATED" });
  });
});
