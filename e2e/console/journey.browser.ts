import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { settled, useBrowser } from "./browser.ts";

const browser = useBrowser();

async function goTo(page: Page, title: string): Promise<void> {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: title }).click();
  await page.getByRole("heading", { level: 1, name: title }).waitFor();
}

it("signs in, asks, has it approved in the inbox, and sees what it cost", async () => {
  const { tenants } = await browser.ready();
  const people = tenants[0]?.people;
  const page = await browser.open("/");
  await page.getByLabel("E-mail address").fill(people?.operator ?? "");
  await page.getByLabel("Password", { exact: true }).fill(people?.password ?? "");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Ask" }).waitFor();
  await page.getByRole("combobox", { name: "Agent" }).selectOption("assistant");
  const task = `calibrate the balance ${crypto.randomUUID().slice(0, 8)}`;
  await page.getByRole("textbox", { name: "Your question" }).fill(`Create a task to ${task}`);
  await page.keyboard.press("Enter");
  await page.locator('[data-approval="PENDING"]').getByText("It waits for somebody who may decide it.").waitFor();

  const boss = await browser.open("/ask", { as: "owner" });
  await goTo(boss, "Inbox");
  const asked = boss.locator("[data-approval]").filter({ hasText: task });
  await asked.getByRole("button", { name: "Approve" }).click();
  await asked.getByText("by Olivia Owner").waitFor();

  await page.locator('[data-approval="APPROVED"]').waitFor();
  await page.getByText("The answer is complete.").waitFor({ state: "attached" });
  await goTo(page, "Usage");
  await page.getByLabel("Window").selectOption("day");
  await page.getByText("Agent", { exact: true }).click();
  await page.getByText("Table", { exact: true }).click();
  const row = page.getByRole("row").filter({ hasText: "assistant" });
  await row.filter({ hasText: "Tool calls" }).first().waitFor();
});

/** What was sent and refused while somebody looked around. */
interface Heard {
  readonly mutations: string[];
  readonly refusals: string[];
}

function listen(page: Page): Heard {
  const heard: Heard = { mutations: [], refusals: [] };
  page.on("request", (request) => {
    const [, name] = /mutation (\w+)/.exec(request.postData() ?? "") ?? [];
    if (name !== undefined) heard.mutations.push(name);
  });
  page.on("response", (response) => {
    if (!response.url().endsWith("/graphql")) return;
    void response.text().then(
      (body) => {
        if (body.includes('"FORBIDDEN"')) heard.refusals.push(`${page.url()}: ${body.slice(0, 300)}`);
      },
      () => undefined,
    );
  });
  return heard;
}

/**
 * Presses all that can be pressed on a page, one after the other, and closes what opens. What ends one's own session is one's
 * right, and an operation that the explorer opens to be read has its name, but does nothing.
 */
async function pressEverything(page: Page): Promise<readonly string[]> {
  const pressed: string[] = [];
  const buttons = page.locator("main").getByRole("button").and(page.locator(":not([data-operations] *)"));
  for (let index = 0; index < (await buttons.count()); index += 1) {
    const button = buttons.nth(index);
    const name = (await button.getAttribute("aria-label")) ?? (await button.textContent()) ?? "";
    if (!(await button.isVisible()) || !(await button.isEnabled()) || name.startsWith("End the session")) continue;
    // What opens and closes a part of the page is named by what is in it.
    if ((await button.getAttribute("aria-expanded")) === null) pressed.push(name);
    await button.click();
    // A button of a dialog is what would be refused.
    const dialog = page.getByRole("dialog");
    for (const submit of await dialog.getByRole("button", { name: /save|set|create|add|remove|delete/i }).all())
      pressed.push(`in a dialog: ${(await submit.textContent()) ?? ""}`);
    await page.keyboard.press("Escape");
  }
  return pressed;
}

const WRITES =
  /approve|deny|set |create|add |remove|delete|suspend|revoke|resume|change|upload|cancel|stop|fork|steer/i;

it("offers a viewer nothing that the API would refuse", async () => {
  const page = await browser.open("/ask", { as: "viewer" });
  await settled(page);
  const heard = listen(page);
  const links = page.getByRole("navigation", { name: "Pages" }).getByRole("link");
  const paths = await links.evaluateAll((found) =>
    found.map((link) => new URL((link as HTMLAnchorElement).href).pathname),
  );
  expect(paths).toEqual(expect.arrayContaining(["/ask", "/inbox", "/usage", "/settings"]));
  await page.goto("/settings");
  await settled(page);
  const parts = page.getByRole("navigation", { name: "Settings of" }).getByRole("link");
  paths.push(
    ...(await parts.evaluateAll((found) => found.map((link) => new URL((link as HTMLAnchorElement).href).pathname))),
  );
  expect(paths).not.toContain("/settings/audit");
  expect(paths).not.toContain("/settings/keys");
  for (const path of [...paths, "/inbox/all", "/inbox/ended"]) {
    await page.goto(path);
    await settled(page);
    const pressed = await pressEverything(page);
    expect(
      pressed.filter((name) => WRITES.test(name)),
      path,
    ).toEqual([]);
  }
  expect(heard).toEqual({ mutations: [], refusals: [] });
});
