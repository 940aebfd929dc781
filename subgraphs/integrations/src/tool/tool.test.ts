import { aCaller } from "@sba/testkit/fixtures";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineTool, type ToolDefinition } from "./tool.ts";

const params = z.object({ city: z.string().min(1), days: z.number().int().default(1) });
const result = z.object({ degrees: z.number() });

const weather: ToolDefinition<typeof params, typeof result> = {
  name: "weather.look",
  version: 1,
  description: "Says how warm it will be in a city.",
  params,
  result,
  example: { city: "Bandung" },
  requires: ["knowledge:read", "run:read"],
  approval: "NEVER",
  sideEffect: false,
  idempotent: true,
  timeoutMs: 1_000,
  execute: () => Promise.resolve({ degrees: 21 }),
};

describe("defineTool", () => {
  it("describes the parameters as a caller writes them: a default is not required", () => {
    expect(defineTool(weather).paramsSchema).toMatchObject({
      type: "object",
      properties: { city: { type: "string", minLength: 1 }, days: { type: "integer", default: 1 } },
      required: ["city"],
    });
  });

  it("gives the same definition the same hash, whatever the order of its permissions and its wording", () => {
    const same = defineTool({
      ...weather,
      requires: ["run:read", "knowledge:read"],
      description: "Tells the weather of a city.",
    });
    expect(same.definitionHash).toBe(defineTool(weather).definitionHash);
  });

  it.each([
    ["name", { ...weather, name: "weather.see" }],
    ["version", { ...weather, version: 2 }],
    ["parameters", { ...weather, params: params.extend({ unit: z.string().optional() }) }],
    ["result", { ...weather, result: z.object({ degrees: z.number(), unit: z.string().optional() }) }],
    ["approval", { ...weather, approval: "ALWAYS" as const }],
    ["side effect", { ...weather, sideEffect: true }],
    ["idempotence", { ...weather, idempotent: false }],
    ["permissions", { ...weather, requires: ["knowledge:read" as const] }],
  ])("gives another %s another hash", (_what, changed) => {
    expect(defineTool(changed as typeof weather).definitionHash).not.toBe(defineTool(weather).definitionHash);
  });

  it("refuses at start what could not be served: a name outside the form, a timeout without end, parameters without a schema", () => {
    expect(() => defineTool({ ...weather, name: "Weather" })).toThrow("domain.verb");
    expect(() => defineTool({ ...weather, timeoutMs: 0 })).toThrow("timeout");
    expect(() => defineTool({ ...weather, timeoutMs: 600_001 })).toThrow("timeout");
    const untold = z.object({ city: z.string(), days: z.number(), at: z.date() });
    expect(() => defineTool({ ...weather, params: untold, example: { city: "a", days: 1, at: new Date() } })).toThrow(
      "JSON Schema",
    );
  });

  it("repeats calls of tools that are idempotent or change nothing, and of others those of which they say so", async () => {
    const isRepeatable = (given: Partial<typeof weather>, city = "Bandung") =>
      defineTool({ ...weather, ...given }).isRepeatable(aCaller(), { city });
    expect(await isRepeatable({ sideEffect: false, idempotent: false })).toBe(true);
    expect(await isRepeatable({ sideEffect: true, idempotent: true })).toBe(true);
    const neither = { sideEffect: true, idempotent: false };
    expect(await isRepeatable(neither)).toBe(false);
    const inBandung = (_caller: unknown, { city }: { city: string }) => Promise.resolve(city === "Bandung");
    expect(await isRepeatable({ ...neither, isRepeatable: inBandung })).toBe(true);
    expect(await isRepeatable({ ...neither, isRepeatable: inBandung }, "Jakarta")).toBe(false);
  });
});
