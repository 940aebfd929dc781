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
  const kept = await page.evaluate(() => localStorage.getItem("sba.session") ?? "{}");
  const { accessToken } = JSON.parse(kept) as { readonly accessToken: string };
  expect(accessToken).toMatch(/^ey/);
  expect(asked.filter((url) => url.includes(accessToken))).toEqual([]);
});

it("lists only what the API would not refuse, and says that there is more", async () => {
  const page = await browser.open("/explorer", { as: "viewer" });
  const operations = page.getByRole("region", { name: "Saved operations" });
  await operations.getByRole("button", { name: /^Run Query/ }).waitFor();
  await operations.getByText(/^\d+ more are not shown/).waitFor();
  expect(
    await operations.getByRole("button", { name: /^(CancelRun|StartRun|DecideApproval|CreateApiKey) / }).count(),
  ).toBe(0);
  const operator = await browser.open("/explorer", { as: "operator" });
  await operator.getByRole("button", { name: /^CancelRun Mutation/ }).waitFor();
  expect(await operator.getByRole("button", { name: /^CreateApiKey / }).count()).toBe(0);
});

it("says why there is no documentation where the server does not show its schema", async () => {
  const page = await browser.open("about:blank", { as: "viewer" });
  const why = "This server does not show its schema.";
  await page.route("**/graphql", async (route) => {
    const errors = [
      { message: why, extensions: { code: "BAD_USER_INPUT", reason: "SCHEMA_NOT_SHOWN", retryable: false } },
    ];
    if (route.request().postData()?.includes("__schema")) await route.fulfill({ json: { errors } });
    else await route.continue();
  });
  await page.goto("/explorer");
  const frame = page.frameLocator("iframe");
  await frame.getByRole("button", { name: "Show Documentation Explorer" }).click();
  const pane = frame.locator(".graphiql-doc-explorer-error");
  await pane.waitFor();
  expect(await pane.evaluate((element) => getComputedStyle(element, "::after").content)).toBe(JSON.stringify(why));
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
