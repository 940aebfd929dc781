import { createClient, MeDocument, ResumeTenantDocument, UsageDocument } from "@sba/client";
import type { Locator, Page } from "playwright-core";
import { describe, expect, it, onTestFinished } from "vitest";
import { settled, useBrowser } from "./browser.ts";

const browser = useBrowser();

async function choose(page: Page, person: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `What to do with ${person}` }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

describe("members", () => {
  it("are given roles, suspended and let in again; the last owner stays one", async () => {
    const page = await browser.open("/settings/members", { as: "owner" });
    await choose(page, "Vera Viewer", "Set roles");
    await page.getByRole("checkbox", { name: "Operator" }).check();
    await page.getByRole("button", { name: "Save" }).click();
    const vera = page.getByRole("row").filter({ hasText: "Vera Viewer" });
    await vera.getByText("Operator").waitFor();
    await choose(page, "Vera Viewer", "Set roles");
    await page.getByRole("checkbox", { name: "Operator" }).uncheck();
    await page.getByRole("button", { name: "Save" }).click();
    await vera.getByText("Operator").waitFor({ state: "detached" });
    await choose(page, "Olivia Owner", "Set roles");
    await page.getByRole("checkbox", { name: "Owner" }).uncheck();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("This is the last owner of your company.").waitFor();
  });

  it("have what can be done with them beside their name on a phone", async () => {
    const page = await browser.open("/settings/members", { as: "owner", width: 360 });
    const vera = page.getByRole("row").filter({ hasText: "Vera Viewer" });
    const boxOf = async (locator: Locator) => (await locator.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 };
    const menu = await boxOf(vera.getByRole("button", { name: "What to do with Vera Viewer" }));
    const [row, person] = [await boxOf(vera), await boxOf(vera.getByRole("cell").first())];
    expect(menu.x + menu.width).toBeCloseTo(row.x + row.width, 0);
    expect(menu.y).toBeGreaterThanOrEqual(person.y);
    expect(menu.y + menu.height).toBeLessThanOrEqual(person.y + person.height);
  });

  it("are only looked at by who may not manage them", async () => {
    const page = await browser.open("/settings", { as: "operator" });
    await page.getByRole("row").filter({ hasText: "Olivia Owner" }).waitFor();
    expect(await page.getByRole("button", { name: /What to do with/ }).count()).toBe(0);
    const parts = page.getByRole("navigation", { name: "Settings of" });
    expect(await parts.getByRole("link").allTextContents()).toEqual([
      ...["Members", "Your sessions", "Approval policies", "Plan and limits", "Webhooks"],
    ]);
  });
});

describe("credentials", () => {
  it("show an API key once, which works until it is revoked", async () => {
    const page = await browser.open("/settings/keys", { as: "owner" });
    await page.getByRole("button", { name: "Create a key" }).click();
    const dialog = page.getByRole("dialog");
    const name = `Console check ${crypto.randomUUID().slice(0, 8)}`;
    await dialog.getByLabel("Name").fill(name);
    await dialog.getByRole("combobox", { name: "Permissions" }).fill("usage:read");
    await page.getByRole("option", { name: "usage:read" }).click();
    await page.keyboard.press("Escape");
    await dialog.getByRole("button", { name: "Create a key" }).click();
    const token = (await page.locator("[data-secret]").textContent()) ?? "";
    await page.getByRole("button", { name: "I have it" }).click();
    expect(await page.content()).not.toContain(token);
    const client = createClient({ url: (await browser.ready()).graphqlUrl, token });
    const window = { from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z", granularity: "DAY" } as const;
    await client.query(UsageDocument, window);
    await page.getByRole("button", { name: `Revoke: ${name}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("row").filter({ hasText: name }).getByText("Revoked").waitFor();
    await expect(client.query(MeDocument)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await client.close();
  });

  it("end a session of another browser at once", async () => {
    const other = await browser.open("/ask", { as: "operator" });
    await settled(other);
    const page = await browser.open("/settings/sessions", { as: "operator" });
    // Newest first: this browser's own, then the other's.
    await page
      .getByRole("button", { name: /End the session of/ })
      .nth(1)
      .click();
    await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
    await page.getByText("The session has ended.").waitFor();
    await other.reload();
    await other.getByText("You were signed out").waitFor();
  });
});

describe("rules", () => {
  it("set a policy that knows tools and roles, and remove it", async () => {
    const page = await browser.open("/settings/policies", { as: "owner" });
    await page.getByRole("button", { name: "Set a policy" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Tool").selectOption("memory.write");
    await dialog.getByRole("combobox", { name: "Who may decide" }).fill("Admin");
    await page.getByRole("option", { name: "Administrator" }).click();
    await page.keyboard.press("Escape");
    await dialog.getByLabel("Only calls that cost more than").fill("0.5");
    await dialog.getByRole("button", { name: "Save" }).click();
    const row = page.getByRole("row").filter({ hasText: "memory.write" });
    await row.getByText("One of: Administrator").waitFor();
    await row.getByText("Calls of more than").waitFor();
    await row.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await row.waitFor({ state: "detached" });
  });

  it("say why an address is refused that nobody allowed", async () => {
    const page = await browser.open("/settings/webhooks", { as: "owner" });
    await page.getByRole("button", { name: "Add an endpoint" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("nowhere");
    await dialog.getByLabel("Address").fill("https://evil.example/");
    await dialog.getByRole("button", { name: "Add an endpoint" }).click();
    await dialog.getByRole("alert").waitFor();
  });

  it("find what was done in the audit log, by action and actor", async () => {
    const page = await browser.open("/settings/audit", { as: "owner" });
    await page.locator("[data-audit]").first().waitFor();
    await page.getByRole("combobox", { name: "Action" }).fill("identity.apiKey.created");
    await page.waitForFunction(() =>
      [...document.querySelectorAll("[data-audit]")].every(
        (entry) => entry.getAttribute("data-audit") === "identity.apiKey.created",
      ),
    );
    await page.getByLabel("Who", { exact: true }).selectOption({ label: "Otto Operator" });
    await page.getByText("Nothing was found").waitFor();
  });

  it("stop the company and let it go on", async () => {
    const page = await browser.open("/settings/limits", { as: "owner" });
    // Whatever fails here must not keep the checks after it from asking anything.
    onTestFinished(async () => {
      await browser.client("owner").mutate(ResumeTenantDocument);
    });
    await page.getByRole("button", { name: "Stop the company" }).click();
    await page.getByRole("dialog").getByLabel("Reason").fill("a drill");
    await page.getByRole("dialog").getByRole("button", { name: "Stop the company" }).click();
    await page.getByText("The work of this company rests: a drill").waitFor();
    const ask = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Ask" });
    await ask.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByText("The work of this company rests: a drill").waitFor({ state: "detached" });
    await ask.waitFor();
  });
});

it.each(["members", "sessions", "keys", "policies", "limits", "webhooks", "audit"])(
  "the page of %s is usable by everybody",
  async (part) => {
    await browser.checkPage(`settings-${part}`, `/settings/${part}`, { as: "owner" });
  },
);
