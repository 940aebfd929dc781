import { readFile } from "node:fs/promises";
import { StartRunDocument } from "@sba/client";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { collectEvents } from "../story.ts";
import { settled, useBrowser } from "./browser.ts";

const browser = useBrowser();

/** A run that has ended, so that there is usage. */
async function anEndedRun(): Promise<void> {
  const operator = browser.client("operator");
  const variables = { agentKey: "handbook", prompt: "what causes flutter" };
  const { startRun } = await operator.mutate(StartRunDocument, variables);
  expect((await collectEvents(operator, startRun.id)).at(-1)).toMatchObject({ run: { status: "COMPLETED" } });
}

async function micros(page: Page, part: "tbody" | "tfoot"): Promise<bigint> {
  const cells = await page
    .locator(`${part} [data-micros]`)
    .evaluateAll((found) => found.map((cell) => cell.getAttribute("data-micros") ?? ""));
  return cells.reduce((sum, each) => sum + BigInt(each), 0n);
}

describe("usage", () => {
  beforeAll(anEndedRun);

  it("adds up: the rows of its table, the totals, and what is downloaded", async () => {
    const page = await browser.open("/usage", { as: "operator" });
    await page.getByLabel("Window").selectOption("day");
    await page.getByText("Agent", { exact: true }).click();
    await page.getByText("Table", { exact: true }).click();
    await page.getByRole("cell", { name: "handbook" }).first().waitFor();
    const [rows, totals] = [await micros(page, "tbody"), await micros(page, "tfoot")];
    expect(totals).toBeGreaterThan(0n);
    expect(rows).toBe(totals);
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download CSV" }).click(),
    ]);
    const [head, ...lines] = (await readFile(await file.path(), "utf8")).trimEnd().split("\r\n");
    expect(head).toBe("\uFEFFperiodStart,periodEnd,agent,meter,quantity,cost,currency");
    const costs = lines.map((line) => BigInt((line.split(",")[5] ?? "").replace(".", "")));
    expect(costs.reduce((sum, cost) => sum + cost, 0n)).toBe(totals);
  });

  it("draws it, and is gone through by the arrow keys", async () => {
    const page = await browser.open("/usage", { as: "viewer" });
    const chart = page.locator(".recharts-surface[tabindex='0']").first();
    await chart.focus();
    await page.keyboard.press("ArrowRight");
    await page.locator(".recharts-tooltip-wrapper").getByText("Runs").waitFor();
    await page.getByLabel("Measure").selectOption({ label: "Tool calls" });
    await page.locator(".recharts-legend-wrapper").getByText("Tool calls").waitFor();
    await page.getByRole("region", { name: "Tools" }).first().getByText("knowledge.search").waitFor();
  });

  it("sets a budget, shows what is left of it, and removes it", async () => {
    const page = await browser.open("/usage", { as: "owner" });
    await page.getByRole("button", { name: "Set a budget" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("For").selectOption("AGENT");
    await dialog.getByLabel("Limit in USD").fill("much");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("Say which agent.").waitFor();
    await dialog.getByText("An amount such as 25 or 0.50.").waitFor();
    await dialog.getByRole("combobox", { name: "Agent" }).fill("handbook");
    await page.keyboard.press("Escape");
    await dialog.getByLabel("Limit in USD").fill("12.5");
    await dialog.getByRole("button", { name: "Save" }).click();
    const budget = page.getByRole("article", { name: "Agent handbook" });
    await budget.getByText("US$12.50 a month").waitFor();
    await budget.getByText("Left").waitFor();
    const other = await browser.open("/usage", { as: "viewer" });
    await other.getByRole("article", { name: "Agent handbook" }).waitFor();
    expect(await other.getByRole("button", { name: /budget|Change|Remove/ }).count()).toBe(0);
    await budget.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await budget.waitFor({ state: "detached" });
  });

  it("is usable by everybody", async () => {
    const drawn = async (page: Page) => {
      await settled(page);
      // Most days have nothing to show.
      await page.locator(".recharts-bar-rectangle").filter({ visible: true }).first().waitFor();
    };
    await browser.checkPage("usage", "/usage", { as: "owner", prepare: drawn });
  });
});
