import { describe, expect, it } from "vitest";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { execute, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId } from "@sba/platform/ids";
import { encodePageCursor } from "@sba/platform/pages";
import { METERS } from "../meter/meter.ts";
import { schema } from "../schema.ts";
import { recordUsage, type UsageInput } from "./record.ts";
import { reportUsage } from "./usage.ts";

useDatabase();

const USAGE = `query Usage($from: DateTime!, $to: DateTime!, $granularity: UsageGranularity!, $groupBy: [UsageDimension!], $first: Int = 100, $after: String) {
  usage(from: $from, to: $to, granularity: $granularity, groupBy: $groupBy, first: $first, after: $after) {
    edges { node { periodStart periodEnd meter agentKey quantity cost { amountMicros currency } } }
    pageInfo { endCursor hasNextPage }
    totals { meter quantity cost { amountMicros currency } }
  }
}`;

const record = (caller: Caller, input: Partial<UsageInput>) =>
  withTenant(caller, (tx) =>
    recordUsage(tx, caller, { key: newId(), lines: [{ meter: "run.started", quantity: 1n }], ...input }),
  );

const rowsOf = async (caller: Caller) =>
  (
    await reportUsage(caller, {
      from: new Date(0),
      to: new Date("2100-01-01"),
      granularity: "MONTH",
      byAgent: false,
      first: 100,
    })
  ).items;

describe("recordUsage", () => {
  it("returns the stored lines, priced, in the order given", async () => {
    const lines = await record(aCaller(), {
      lines: [
        { meter: "tool.called", quantity: 2n },
        { meter: "model.inputTokens", quantity: 51n, model: "local" },
      ],
    });
    expect(lines).toEqual([
      { meter: "tool.called", quantity: 2n, cost: { amountMicros: 1000n, currency: "USD" } },
      { meter: "model.inputTokens", quantity: 51n, cost: { amountMicros: 2n, currency: "USD" } },
    ]);
  });

  it("counts a repeat once and returns what was stored first", async () => {
    const caller = aCaller();
    const first = await record(caller, {
      key: "run:1:step:1",
      lines: [{ meter: "model.outputTokens", quantity: 100n, model: "local" }],
    });
    const repeat = await record(caller, {
      key: "run:1:step:1",
      lines: [
        { meter: "tool.called", quantity: 1n },
        { meter: "model.outputTokens", quantity: 999n, model: "gpt-4.1" },
      ],
    });
    expect(repeat[1]).toEqual(first[0]);
    expect((await rowsOf(caller)).map(({ meter, quantity }) => [meter, quantity])).toEqual([
      ["model.outputTokens", 100n],
      ["tool.called", 1n],
    ]);
  });

  it("counts once when two workers record the same step at the same time", async () => {
    const caller = aCaller();
    const twice = await Promise.all(
      [1n, 2n, 3n, 4n].map((quantity) => record(caller, { key: "same", lines: [{ meter: "tool.called", quantity }] })),
    );
    expect(new Set(twice.map(([line]) => line!.quantity)).size).toBe(1);
    expect((await rowsOf(caller))[0]!.quantity).toBe(twice[0]![0]!.quantity);
  });

  it("stores nothing when the caller's transaction fails", async () => {
    const caller = aCaller();
    const failing = withTenant(caller, async (tx) => {
      await recordUsage(tx, caller, { key: "k", lines: [{ meter: "run.started", quantity: 1n }] });
      throw new Error("the step failed");
    });
    await expect(failing).rejects.toThrow("the step failed");
    expect(await rowsOf(caller)).toEqual([]);
  });

  it("keeps the same key of two tenants apart", async () => {
    const [a, b] = [aCaller(), aCaller()];
    await record(a, { key: "shared" });
    await record(b, { key: "shared", lines: [{ meter: "run.started", quantity: 7n }] });
    expect((await rowsOf(a)).map(({ quantity }) => quantity)).toEqual([1n]);
    expect((await rowsOf(b)).map(({ quantity }) => quantity)).toEqual([7n]);
  });

  it("refuses a meter named twice, an unknown meter, a negative quantity and an empty key", async () => {
    const refused: Partial<UsageInput>[] = [
      {
        lines: [
          { meter: "tool.called", quantity: 1n },
          { meter: "tool.called", quantity: 1n },
        ],
      },
      { lines: [{ meter: "disk.full" as never, quantity: 1n }] },
      { lines: [{ meter: "tool.called", quantity: -1n }] },
      { lines: [] },
      { key: "" },
    ];
    const caller = aCaller();
    for (const input of refused)
      await expect(record(caller, input)).rejects.toMatchObject({ code: "BILLING_USAGE_LINES_INVALID" });
    expect(await rowsOf(caller)).toEqual([]);
  });
});

describe("usage", () => {
  const hours = async (caller: Caller) => {
    const at = (time: string) => new Date(`2026-10-31T${time}Z`);
    await record(caller, { at: at("21:59:59.999"), lines: [{ meter: "run.started", quantity: 100n }] });
    await record(caller, {
      at: at("22:00:00"),
      agentKey: "support",
      lines: [
        { meter: "run.started", quantity: 1n },
        { meter: "tool.called", quantity: 3n },
      ],
    });
    await record(caller, {
      at: at("22:59:59.999"),
      agentKey: "sales",
      lines: [{ meter: "run.started", quantity: 2n }],
    });
    await record(caller, { at: at("23:30:00"), lines: [{ meter: "run.started", quantity: 4n }] });
    await record(caller, { at: new Date("2026-11-01T00:00:00Z"), lines: [{ meter: "run.started", quantity: 8n }] });
    await record(caller, { at: new Date("2026-11-01T01:00:00Z"), lines: [{ meter: "run.started", quantity: 100n }] });
  };
  const window = { from: "2026-10-31T22:00:00Z", to: "2026-11-01T01:00:00Z" };

  it("reports the window [from, to) by hour of UTC and meter, with totals that equal the rows", async () => {
    const caller = aCaller({ permissions: ["usage:read"] });
    await hours(caller);
    const { usage } = await expectData(schema, caller, USAGE, { ...window, granularity: "HOUR" });
    expect(
      usage.edges.map(({ node }: { node: Record<string, unknown> }) => [
        node["periodStart"],
        node["periodEnd"],
        node["meter"],
        node["agentKey"],
        node["quantity"],
      ]),
    ).toEqual([
      ["2026-10-31T22:00:00.000Z", "2026-10-31T23:00:00.000Z", "run.started", null, "3"],
      ["2026-10-31T22:00:00.000Z", "2026-10-31T23:00:00.000Z", "tool.called", null, "3"],
      ["2026-10-31T23:00:00.000Z", "2026-11-01T00:00:00.000Z", "run.started", null, "4"],
      ["2026-11-01T00:00:00.000Z", "2026-11-01T01:00:00.000Z", "run.started", null, "8"],
    ]);
    expect(usage.totals).toEqual([
      { meter: "run.started", quantity: "15", cost: { amountMicros: "15000", currency: "USD" } },
      { meter: "tool.called", quantity: "3", cost: { amountMicros: "1500", currency: "USD" } },
    ]);
    expect(usage.pageInfo.hasNextPage).toBe(false);
  });

  it("reports by month and by day of UTC", async () => {
    const caller = aCaller();
    await hours(caller);
    const periods = async (granularity: string) => {
      const { usage } = await expectData(schema, caller, USAGE, { ...window, granularity });
      return usage.edges
        .filter(({ node }: { node: { meter: string } }) => node.meter === "run.started")
        .map(({ node }: { node: Record<string, string> }) => [
          node["periodStart"],
          node["periodEnd"],
          node["quantity"],
        ]);
    };
    expect(await periods("MONTH")).toEqual([
      ["2026-10-01T00:00:00.000Z", "2026-11-01T00:00:00.000Z", "7"],
      ["2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z", "8"],
    ]);
    expect(await periods("DAY")).toEqual([
      ["2026-10-31T00:00:00.000Z", "2026-11-01T00:00:00.000Z", "7"],
      ["2026-11-01T00:00:00.000Z", "2026-11-02T00:00:00.000Z", "8"],
    ]);
  });

  it("splits by agent when asked, and shows what no agent used as such", async () => {
    const caller = aCaller();
    await hours(caller);
    const { usage } = await expectData(schema, caller, USAGE, {
      ...window,
      granularity: "DAY",
      groupBy: ["METER", "AGENT"],
    });
    expect(
      usage.edges.map(({ node }: { node: Record<string, unknown> }) => [
        node["meter"],
        node["agentKey"],
        node["quantity"],
      ]),
    ).toEqual([
      ["run.started", null, "4"],
      ["run.started", "sales", "2"],
      ["run.started", "support", "1"],
      ["tool.called", "support", "3"],
      ["run.started", null, "8"],
    ]);
  });

  it("adds up random usage to the unit, whatever the granularity, grouping and page size", async () => {
    const caller = aCaller();
    const start = Date.parse("2026-01-01T00:00:00Z");
    for (let i = 0; i < 120; i++) {
      const meter = METERS[i % METERS.length]!;
      const agentKey = ["a", "b", undefined][i % 3];
      const at = new Date(start + ((i * 7_919_317) % 5_000_000_000));
      await record(caller, {
        at,
        ...(agentKey === undefined ? {} : { agentKey }),
        lines: [{ meter, quantity: BigInt(1 + ((i * 31) % 97)), model: "local" }],
      });
    }
    for (const granularity of ["HOUR", "DAY", "MONTH"] as const) {
      for (const byAgent of [false, true]) {
        const query = { from: new Date(start), to: new Date(start + 5_000_000_000), granularity, byAgent };
        const { rows, totals } = await readAllPages(caller, query);
        const sums = METERS.map((meter) => {
          const own = rows.filter((row) => row.meter === meter);
          return [
            meter,
            own.reduce((sum, row) => sum + row.quantity, 0n),
            own.reduce((sum, row) => sum + row.cost.amountMicros, 0n),
          ];
        });
        expect(sums.toSorted()).toEqual(
          totals.map(({ meter, quantity, cost }) => [meter, quantity, cost.amountMicros]).toSorted(),
        );
      }
    }
  });

  it("pages through rows without gap or repeat while usage is added behind and before the cursor", async () => {
    const caller = aCaller();
    await hours(caller);
    const variables = { ...window, granularity: "HOUR", groupBy: ["AGENT"], first: 2 };
    const page1 = (await expectData(schema, caller, USAGE, variables)).usage;
    await record(caller, {
      at: new Date("2026-10-31T22:10:00Z"),
      lines: [{ meter: "knowledge.chunksIndexed", quantity: 1n }],
    });
    const page2 = (await expectData(schema, caller, USAGE, { ...variables, after: page1.pageInfo.endCursor })).usage;
    const keys = [...page1.edges, ...page2.edges].map(({ node }) => [
      node.periodStart.slice(11, 13),
      node.meter,
      node.agentKey,
    ]);
    expect(keys).toEqual([
      ["22", "run.started", "sales"],
      ["22", "run.started", "support"],
      ["22", "tool.called", "support"],
      ["23", "run.started", null],
    ]);
    expect(page2.pageInfo.hasNextPage).toBe(true);
  });

  it("reads rows and totals in one statement", async () => {
    const caller = aCaller();
    await hours(caller);
    const { statements } = await countStatements(() =>
      expectData(schema, caller, USAGE, { ...window, granularity: "HOUR" }),
    );
    expect(statements).toHaveLength(1);
  });

  it("shows a tenant nothing of another", async () => {
    await hours(aCaller());
    const { usage } = await expectData(schema, aCaller(), USAGE, { ...window, granularity: "HOUR" });
    expect(usage).toMatchObject({ edges: [], totals: [] });
  });

  it("refuses bad windows and cursors with typed errors", async () => {
    const caller = aCaller();
    const refusal = (variables: object) =>
      expectRefusal(schema, caller, USAGE, { ...window, granularity: "HOUR", ...variables });
    const badWindow = { code: "BAD_USER_INPUT", reason: "BILLING_USAGE_WINDOW_INVALID" };
    expect(await refusal({ to: window.from })).toMatchObject(badWindow);
    expect(await refusal({ from: window.to, to: window.from })).toMatchObject(badWindow);
    expect(await refusal({ from: "2025-01-01T00:00:00Z", to: "2026-11-01T00:00:00Z" })).toMatchObject({
      ...badWindow,
      details: { maxDays: 400 },
    });
    expect(await refusal({ after: "nonsense" })).toMatchObject({ code: "BAD_USER_INPUT", reason: "CURSOR_INVALID" });
    const after = encodePageCursor(JSON.stringify(["HOUR", false, "2026-01-01T00:00:00Z", "a\0", null]));
    expect(await refusal({ after })).toMatchObject({ reason: "CURSOR_INVALID" });
    expect(await refusal({ first: 0 })).toMatchObject({ reason: "INPUT_INVALID" });
    expect(await refusal({ first: 101 })).toMatchObject({ reason: "INPUT_INVALID" });
    expect(await refusal({ from: "2026-10-31" })).toMatchObject({ code: "BAD_USER_INPUT" });
  });

  it("refuses a cursor of another grouping", async () => {
    const caller = aCaller();
    await hours(caller);
    const { usage } = await expectData(schema, caller, USAGE, { ...window, granularity: "HOUR", first: 1 });
    const after = usage.pageInfo.endCursor;
    expect(await expectRefusal(schema, caller, USAGE, { ...window, granularity: "DAY", after })).toMatchObject({
      reason: "CURSOR_INVALID",
    });
    expect(
      await expectRefusal(schema, caller, USAGE, { ...window, granularity: "HOUR", groupBy: ["AGENT"], after }),
    ).toMatchObject({ reason: "CURSOR_INVALID" });
  });

  it("is refused without usage:read", async () => {
    const variables = { ...window, granularity: "HOUR" };
    expect(await expectRefusal(schema, aCaller({ permissions: ["run:read"] }), USAGE, variables)).toMatchObject({
      code: "FORBIDDEN",
    });
    expect(await expectRefusal(schema, undefined, USAGE, variables)).toMatchObject({ code: "UNAUTHENTICATED" });
  });
});

describe("what a run cost", () => {
  const RUNS = `query ($runs: [_Any!]!) { _entities(representations: $runs) { ... on Run { id cost { amountMicros currency } usage { meter quantity cost { amountMicros } } } } }`;
  const representations = (...runIds: string[]) => ({
    runs: runIds.map((id) => ({ __typename: "Run", id: encodeId("Run", id) })),
  });

  it("adds up the lines of each run, in one statement for any number of runs", async () => {
    const caller = aCaller();
    const [used, unused] = [newId(), newId()];
    await record(caller, { runId: used, lines: [{ meter: "run.started", quantity: 1n }] });
    await record(caller, { runId: used, lines: [{ meter: "tool.called", quantity: 1n }] });
    await record(caller, { runId: used, lines: [{ meter: "tool.called", quantity: 2n }] });
    const { result, statements } = await countStatements(() =>
      expectData(schema, caller, RUNS, representations(used, unused)),
    );
    expect(statements).toHaveLength(1);
    expect(result._entities[0]).toEqual({
      id: encodeId("Run", used),
      cost: { amountMicros: "2500", currency: "USD" },
      usage: [
        { meter: "run.started", quantity: "1", cost: { amountMicros: "1000" } },
        { meter: "tool.called", quantity: "3", cost: { amountMicros: "1500" } },
      ],
    });
    expect(result._entities[1]).toMatchObject({ cost: { amountMicros: "0", currency: "USD" }, usage: [] });
  });

  it("shows another tenant's run as one that cost nothing, and refuses whoever may not see runs", async () => {
    const caller = aCaller();
    const runId = newId();
    await record(caller, { runId });
    const { _entities } = await expectData(schema, aCaller(), RUNS, representations(runId));
    expect(_entities[0]).toMatchObject({ cost: { amountMicros: "0" }, usage: [] });
    const refused = await execute(schema, aColleagueOf(caller, ["usage:read"]), RUNS, representations(runId));
    expect(refused.data?._entities[0]).toMatchObject({ cost: null, usage: null });
    expect(refused.errors?.map(({ extensions }) => extensions["code"])).toEqual(["FORBIDDEN", "FORBIDDEN"]);
  });
});

async function readAllPages(
  caller: Caller,
  query: { from: Date; to: Date; granularity: "HOUR" | "DAY" | "MONTH"; byAgent: boolean },
) {
  const groupBy = query.byAgent ? ["AGENT"] : [];
  const rows: { meter: string; quantity: bigint; cost: { amountMicros: bigint } }[] = [];
  let after: string | null = null;
  for (;;) {
    const variables = {
      from: query.from.toISOString(),
      to: query.to.toISOString(),
      granularity: query.granularity,
      groupBy,
      first: 7,
      after,
    };
    const { usage } = await expectData(schema, caller, USAGE, variables);
    for (const { node } of usage.edges)
      rows.push({
        meter: node.meter,
        quantity: BigInt(node.quantity),
        cost: { amountMicros: BigInt(node.cost.amountMicros) },
      });
    after = usage.pageInfo.endCursor;
    if (!usage.pageInfo.hasNextPage) {
      const report = await reportUsage(caller, { ...query, first: 1 });
      return { rows, totals: report.totals };
    }
  }
}
