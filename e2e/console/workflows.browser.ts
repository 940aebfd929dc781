import { describe, expect, it } from "vitest";
import { settled, useBrowser } from "./browser.ts";

const browser = useBrowser();

describe("workflows", () => {
  it("ask for what their steps use, start, and are followed to their end", async () => {
    const page = await browser.open("/workflows", { as: "operator" });
    await settled(page);
    await page.locator('[data-workflow="render"]').getByRole("button", { name: "Start" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Start" }).click();
    expect(await dialog.getByText("It is needed, as its steps use it.").count()).toBe(3);
    for (const [name, text] of [
      ["title", "Report"],
      ["markdown", "# Fine"],
      ["format", "markdown"],
    ] as const)
      await dialog.getByLabel(name).fill(text);
    await dialog.getByRole("button", { name: "Start" }).click();
    await page.locator('dl [data-status="COMPLETED"]').waitFor();
    await page.getByRole("img", { name: /1 step over/ }).waitFor();
    await page.getByRole("button", { name: /1\. document/ }).click();
    await page.getByRole("group", { name: "Gave" }).getByText("Report.md").waitFor();
    const path = new URL(page.url()).pathname;
    await browser.checkPage("workflow-run", path, {
      as: "viewer",
      prepare: (each) => each.getByRole("img", { name: /1 step over/ }).waitFor(),
    });
  });

  it("look well and can be used by everybody, and are not started by those who may not", async () => {
    await browser.checkPage("workflows", "/workflows", { as: "operator" });
    const page = await browser.open("/workflows", { as: "viewer" });
    await settled(page);
    await page.getByText("render ·").waitFor();
    expect(await page.getByRole("button", { name: "Start" }).count()).toBe(0);
  });
});
