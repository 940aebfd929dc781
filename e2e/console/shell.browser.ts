import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { settled, useBrowser, violationsOf } from "./browser.ts";

const browser = useBrowser();

describe("signing in", () => {
  it("takes a person of the demonstration in, and keeps them in all tabs until they sign out", async () => {
    const { tenants } = await browser.ready();
    const people = tenants[0]?.people;
    const page = await browser.open("/");
    await page.getByLabel("E-mail address").fill(people?.operator ?? "");
    await page.getByLabel("Password", { exact: true }).fill("not this one");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("The e-mail address or the password is not right.").waitFor();
    await page.getByLabel("E-mail address").fill(people?.operator ?? "");
    await page.getByLabel("Password", { exact: true }).fill(people?.password ?? "");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { level: 1, name: "Ask" }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/ask");
    const other = await page.context().newPage();
    await other.goto("/ask");
    await other.getByRole("heading", { level: 1, name: "Ask" }).waitFor();
    await page.getByRole("button", { name: /Your account/ }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    for (const each of [page, other]) await each.getByRole("heading", { name: "Sign in" }).waitFor();
  });

  it("goes on after the access token has ended, once for all tabs", async () => {
    const page = await browser.open("/ask", { as: "operator" });
    await settled(page);
    const other = await page.context().newPage();
    await other.goto("/ask");
    await settled(other);
    const renewals: string[] = [];
    for (const each of [page, other])
      each.on("request", (request) => {
        if (request.postData()?.includes("mutation RefreshSession")) renewals.push(request.url());
      });
    const before = await page.evaluate(() => {
      const kept = JSON.parse(localStorage.getItem("sba.session") ?? "{}") as {
        endsAtMs: number;
        refreshToken: string;
      };
      localStorage.setItem("sba.session", JSON.stringify({ ...kept, endsAtMs: Date.now() - 1 }));
      return kept.refreshToken;
    });
    const ask = (): void => {
      document.dispatchEvent(new Event("visibilitychange"));
    };
    await Promise.all([page.evaluate(ask), other.evaluate(ask)]);
    await page.waitForFunction((old) => !localStorage.getItem("sba.session")?.includes(old), before);
    // The other tab's process may still show what was before it.
    const renewed = await page.evaluate(() => localStorage.getItem("sba.session") ?? "");
    await other.evaluate((old) => {
      const kept = JSON.parse(localStorage.getItem("sba.session") ?? "{}") as object;
      localStorage.setItem("sba.session", JSON.stringify({ ...kept, refreshToken: old, endsAtMs: Date.now() - 1 }));
    }, before);
    await other.evaluate(ask);
    await other.waitForFunction((now) => localStorage.getItem("sba.session") === now, renewed);
    await page.reload();
    await settled(page);
    expect(renewals).toHaveLength(1);
  });

  it("says so when the session was ended elsewhere", async () => {
    const page = await browser.open("/ask", { as: "viewer" });
    await settled(page);
    await page.evaluate(() => {
      const kept = JSON.parse(localStorage.getItem("sba.session") ?? "{}") as object;
      localStorage.setItem(
        "sba.session",
        JSON.stringify({ ...kept, accessToken: "sat.bad.token", refreshToken: "none" }),
      );
    });
    await page.reload();
    await page.getByText("You were signed out").waitFor();
  });
});

describe("every page", () => {
  it("has a sign-in before it that anybody can use", async () => {
    await browser.checkPage("sign-in", "/");
  });

  it("says in both languages when it is not there", async () => {
    const page = await browser.open("/nowhere", { as: "viewer", locale: "id" });
    await page.getByText("Halaman tidak ada").first().waitFor();
    expect(await violationsOf(page)).toEqual([]);
    await page.goto("/ask");
    await page.getByRole("heading", { level: 1, name: "Tanya" }).waitFor();
    expect(await page.locator("html").getAttribute("lang")).toBe("id");
    expect(await violationsOf(page)).toEqual([]);
  });

  it.each([
    ["/runs/run_00000000000000000000000000", "All runs"],
    ["/runs/cut-off", "All runs"],
    ["/runs/cut-off/replay", "All runs"],
    ["/ask/run_00000000000000000000000000", "New conversation"],
    ["/knowledge/col_00000000000000000000000000", "All collections"],
    ["/knowledge/documents/cut-off", "All collections"],
    ["/workflows/wfr_00000000000000000000000000", "All workflows"],
  ])("says of %s that it is not there, and where to go: trying again would not help", async (path, back) => {
    const page = await browser.open(path, { as: "viewer" });
    const notice = page.getByRole("alert").filter({ hasText: "It is not there" });
    await notice.getByRole("link", { name: back }).waitFor();
    expect(await page.getByRole("button", { name: "Try again" }).count()).toBe(0);
    expect(await violationsOf(page)).toEqual([]);
  });

  it.each(["/runs/a/b/c", "/knowledge/a/b", "/workflows/a/b"])("says that there is none at %s", async (path) => {
    const page = await browser.open(path, { as: "viewer" });
    await page.getByRole("heading", { level: 1, name: "There is no such page" }).waitFor();
    expect(await violationsOf(page)).toEqual([]);
  });

  it("can be reached by keyboard, the navigation skipped", async () => {
    const page = await browser.open("/ask", { as: "viewer" });
    await settled(page);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
  });

  it("has its navigation in a drawer on a phone", async () => {
    const page = await browser.open("/ask", { as: "operator", width: 360 });
    await settled(page);
    await page.getByRole("button", { name: "Open the menu" }).click();
    await page.getByRole("dialog").getByRole("link", { name: "Ask" }).waitFor();
    expect(await violationsOf(page)).toEqual([]);
  });
});

it("loads less than 250 KB of script before it can be used", async () => {
  const page = await browser.open("about:blank", { as: "operator" });
  const sizes: Promise<number>[] = [];
  page.on("response", (response) => {
    if (response.url().endsWith(".js")) sizes.push(response.body().then((body) => gzipSync(body).length));
  });
  await page.goto("/ask");
  await settled(page);
  const total = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  expect(total).toBeGreaterThan(0);
  expect(total).toBeLessThan(250_000);
});
