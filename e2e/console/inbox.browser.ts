import { DecideApprovalDocument, StartRunDocument } from "@sba/client";
import type { Locator, Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { collectEvents, pendingApproval } from "../story.ts";
import { settled, useBrowser } from "./browser.ts";

const browser = useBrowser();

/** A run of the operator's that waits: the owner may decide what it wants. */
async function aRunThatAsks(title: string): Promise<string> {
  const prompt = `Create a task to ${title}`;
  const { startRun } = await browser.client("operator").mutate(StartRunDocument, { agentKey: "assistant", prompt });
  await pendingApproval(browser.client("owner"), startRun.id);
  return startRun.id;
}

const card = (page: Page, title: string): Locator => page.locator("[data-approval]").filter({ hasText: title });

/** Follows the run to its end, however long that takes on this machine. */
async function runEnds(runId: string): Promise<void> {
  const events = await collectEvents(browser.client("operator"), runId);
  expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
}

describe("the inbox", () => {
  it("shows what comes at once, counts it, and lets the run go on once it is approved", async () => {
    const page = await browser.open("/inbox", { as: "owner" });
    await settled(page);
    const runId = await aRunThatAsks("order a fan for the inbox");
    const asked = card(page, "order a fan for the inbox");
    await asked.getByText("Estimated cost").waitFor();
    await asked.getByText("asked for by Otto Operator").waitFor();
    await page.waitForFunction(() => /^\(\d+\) Inbox/.test(document.title));
    await page
      .getByRole("navigation")
      .getByLabel(/waits? for you/)
      .waitFor();
    await asked.getByRole("button", { name: "Approve" }).click();
    await asked.and(page.locator('[data-approval="APPROVED"]')).getByText("by Olivia Owner").waitFor();
    await runEnds(runId);
  });

  it("is gone through by keyboard: what was decided keeps the focus", async () => {
    const runId = await aRunThatAsks("be approved by keyboard");
    const page = await browser.open("/inbox", { as: "owner" });
    const asked = card(page, "be approved by keyboard");
    await asked.getByRole("button", { name: "Approve" }).focus();
    await page.keyboard.press("Enter");
    const approved = asked.and(page.locator('[data-approval="APPROVED"]'));
    await approved.waitFor();
    await expect.poll(() => approved.evaluate((element) => element === document.activeElement)).toBe(true);
    await runEnds(runId);
  });

  it("denies with a reason, and edits what may be edited, which the tool's schema judges", async () => {
    const page = await browser.open("/inbox", { as: "owner" });
    const [deniedRun, editedRun] = [await aRunThatAsks("deny this in the inbox"), await aRunThatAsks("edit this here")];
    const denied = card(page, "deny this in the inbox");
    await denied.getByRole("button", { name: "Deny" }).click();
    await denied.getByLabel("Reason").fill("not this quarter");
    await denied.getByRole("button", { name: "Deny" }).click();
    await denied.and(page.locator('[data-approval="DENIED"]')).getByText("not this quarter").waitFor();
    const edited = page.locator("[data-approval]").filter({ hasText: "Create a task to edit this here" });
    await edited.getByRole("button", { name: "Edit" }).click();
    await edited.getByLabel("title").fill("");
    await edited.getByRole("button", { name: "Approve as edited" }).click();
    await edited.getByRole("alert").getByText("Something is not right").waitFor();
    await edited.getByLabel("title").fill("edited by the owner");
    await edited.getByRole("button", { name: "Approve as edited" }).click();
    await edited.and(page.locator('[data-approval="APPROVED"]')).getByText("edited by the owner").waitFor();
    for (const runId of [deniedRun, editedRun]) await runEnds(runId);
  });

  it("says what became of one that somebody else decided first, in its place", async () => {
    const runId = await aRunThatAsks("be decided elsewhere");
    const page = await browser.open("/inbox", { as: "owner" });
    const late = card(page, "be decided elsewhere");
    await late.waitFor();
    const owner = browser.client("owner");
    const { id, fingerprint, version } = await pendingApproval(owner, runId);
    await page.context().setOffline(true);
    await owner.mutate(DecideApprovalDocument, {
      ...{ approvalId: id, fingerprint, expectedVersion: version },
      ...{ decision: "DENIED", reason: "faster" },
    });
    await late.getByRole("button", { name: "Approve" }).click();
    await page.context().setOffline(false);
    await late.and(page.locator('[data-approval="DENIED"]')).getByText("Somebody was faster").waitFor();
    await late.getByText("faster", { exact: false }).first().waitFor();
  });

  it("decides many at once and says which could not be", async () => {
    const titles = ["one of many", "two of many", "three of many"];
    const runs: string[] = [];
    for (const title of titles) runs.push(await aRunThatAsks(title));
    const page = await browser.open("/inbox", { as: "owner" });
    for (const title of titles) await page.getByRole("checkbox", { name: title }).check();
    await page.getByText("3 chosen").waitFor();
    await page.getByRole("button", { name: "Approve", exact: true }).first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Approve these 3?").waitFor();
    // Somebody is faster with one of them, while the others are being confirmed.
    const owner = browser.client("owner");
    const { id, fingerprint, version } = await pendingApproval(owner, runs[0]!);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route("**/graphql", async (route) => {
      if (route.request().postData()?.includes("mutation DecideApproval")) await held;
      await route.continue();
    });
    await dialog.getByRole("button", { name: "Approve" }).click();
    await owner.mutate(DecideApprovalDocument, {
      ...{ approvalId: id, fingerprint, expectedVersion: version },
      ...{ decision: "DENIED", reason: "no" },
    });
    release();
    await page.getByText("2 approved · 1 not decided").waitFor();
    await card(page, "one of many").and(page.locator('[data-approval="DENIED"]')).waitFor();
    await page.getByText("Decided", { exact: true }).click();
    await page.getByLabel("Outcome").selectOption("DENIED");
    await page.getByRole("button", { name: /one of many/ }).click();
    await page.getByText("Denied by Olivia Owner: no", { exact: true }).waitFor();
  });

  it("offers nothing to whoever may not decide", async () => {
    await aRunThatAsks("be looked at only");
    const page = await browser.open("/inbox/all", { as: "viewer" });
    await card(page, "be looked at only").getByText("It waits for somebody").waitFor();
    expect(await page.getByRole("button", { name: /Approve|Deny|Edit/ }).count()).toBe(0);
    expect(await page.title()).not.toMatch(/^\(/);
  });

  it("is usable by everybody", async () => {
    for (const title of ["order a calibrated pressure probe", "book the low-speed wind tunnel"])
      await aRunThatAsks(title);
    const cards = (page: Page) => page.locator("[data-approval]").nth(1).waitFor();
    await browser.checkPage("inbox", "/inbox", { as: "owner", prepare: cards });
    await browser.checkPage("inbox-ended", "/inbox/ended", { as: "owner" });
  });
});
