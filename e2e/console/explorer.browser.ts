import { StartRunDocument } from "@sba/client";
import { expect, it } from "vitest";
import { settled, useBrowser } from "./browser.ts";

const browser = useBrowser();

it("asks as the one who is signed in, lists the contract's operations, and follows subscriptions", async () => {
  const { startRun } = await browser.client("operator").mutate(StartRunDocument, {
    agentKey: "handbook",
    prompt: "what causes flutter",
  });
  const page = await browser.open("/explorer", { as: "operator" });
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  const frame = page.frameLocator("iframe");
  const run = frame.getByRole("button", { name: "Execute query" });
  await run.click();
  const answer = frame.locator(".result-window");
  await answer.getByText("run:start").waitFor();
  await page.getByLabel("Search the operations").fill("RunEvents");
  await page.getByRole("button", { name: /^RunEvents Subscription/ }).click();
  await frame.locator(".graphiql-query-editor").getByText("RunEvents", { exact: true }).waitFor();
  await frame.getByRole("button", { name: "Variables" }).click();
  await frame.getByRole("region", { name: "Variables" }).locator(".CodeMirror").filter({ visible: true }).click();
  await page.keyboard.insertText(JSON.stringify({ runId: startRun.id }));
  await run.click();
  await answer.getByText("RunFinished").waitFor();
  expect(asked.filter((url) => /ey[\w-]+\./.test(url))).toEqual([]);
});

it("looks well and can be used by everybody", async () => {
  await browser.checkPage("explorer", "/explorer", {
    as: "viewer",
    prepare: async (page) => {
      await settled(page);
      await page.frameLocator("iframe").getByRole("button", { name: "Execute query" }).waitFor();
    },
  });
});
