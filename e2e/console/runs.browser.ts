import {
  CancelRunDocument,
  CreateAgentDocument,
  DecideApprovalDocument,
  RunEventsDocument,
  StartRunDocument,
} from "@sba/client";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { SLOW_MODEL } from "../slow-model.ts";
import { pendingApproval } from "../story.ts";
import { settled, useBrowser, violationsOf } from "./browser.ts";
import { giveEvents } from "./many-events.ts";

const browser = useBrowser();

async function ask(prompt: string, agentKey = "handbook"): Promise<string> {
  const { startRun } = await browser.client("operator").mutate(StartRunDocument, { agentKey, prompt });
  return startRun.id;
}

async function ended(runId: string): Promise<string> {
  const client = browser.client("operator");
  for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId }))
    if (runEvents.__typename === "RunFailed") throw new Error("the run failed");
  return runId;
}

/** Of this file alone: what others ask in the same system is somebody else's. */
const PROMPT = `What causes flutter? (${Date.now()})`;
let [first, second] = ["", ""];
const slowAgent = `slow-${Date.now()}`;
beforeAll(async () => {
  await browser.client("owner").mutate(CreateAgentDocument, {
    input: { key: slowAgent, name: "Slow", instructions: "Talk.", tools: [], model: SLOW_MODEL },
  });
  [first, second] = await Promise.all([ask(PROMPT).then(ended), ask(`${PROMPT} And when?`).then(ended)]);
});

const rowOf = (page: Page, id: string) => page.locator(`[data-run="${id}"]`);

describe("the list of runs", () => {
  it("is filtered by its address, and clears", async () => {
    const page = await browser.open("/runs?status=FAILED&agent=handbook", { as: "operator" });
    await settled(page);
    expect(await rowOf(page, first).count()).toBe(0);
    await page.getByRole("button", { name: "Clear the filters" }).first().click();
    await rowOf(page, first).waitFor();
    await page.getByText("Only mine", { exact: true }).click();
    await rowOf(page, second).waitFor();
    expect(new URL(page.url()).searchParams.get("mine")).toBe("1");
    const viewer = await browser.open("/runs?mine=1", { as: "viewer" });
    await viewer.getByText("No run is like that").waitFor();
  });

  it("follows a run that goes on, which is stopped from its page", async () => {
    const id = await ask("Talk for long", slowAgent);
    onTestFinished(async () => {
      // One that the test has stopped is refused.
      await browser
        .client("operator")
        .mutate(CancelRunDocument, { runId: id })
        .catch(() => undefined);
    });
    const list = await browser.open("/runs", { as: "viewer" });
    await rowOf(list, id).locator('[data-status="EXECUTING"]').waitFor();
    const page = await browser.open(`/runs/${id}`, { as: "operator" });
    await page.getByText("word 5").waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator('dl [data-status="PAUSED"]').waitFor();
    await rowOf(list, id).locator('[data-status="PAUSED"]').waitFor();
    await page.getByRole("button", { name: "Cancel", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    for (const each of [page.locator("dl"), rowOf(list, id)]) await each.locator('[data-status="CANCELLED"]').waitFor();
    expect(await page.getByRole("button", { name: "Pause" }).count()).toBe(0);
  });

  it("looks well and can be used by everybody", async () => {
    await browser.checkPage("runs", "/runs", { as: "operator" });
  });
});

describe("a run's page", () => {
  it("shows what it did as a picture and as a table, its answer, and what its tools answered", async () => {
    const page = await browser.open(`/runs/${first}`, { as: "viewer" });
    const timeline = page.getByRole("region", { name: "What it did" });
    await timeline.getByRole("img", { name: /5 steps over/ }).waitFor();
    await timeline.getByRole("button", { name: "Show as a table" }).click();
    expect(await timeline.getByRole("row", { name: /knowledge.search/ }).textContent()).toMatch(/Tool.*US?\$/);
    await page.getByRole("button", { name: /2\. knowledge.search/ }).click();
    await page.getByRole("group", { name: "Answered" }).getByText("flutter", { exact: false }).first().waitFor();
    // What the API would refuse is not offered.
    expect(await page.getByRole("button", { name: /Pause|Cancel|Fork/ }).count()).toBe(0);
  });

  it("looks well and can be used by everybody", async () => {
    const timeline = (page: Page) => page.getByRole("img", { name: /steps over/ }).waitFor();
    await browser.checkPage("run", `/runs/${first}`, {
      as: "operator",
      prepare: async (page) => {
        await settled(page);
        await timeline(page);
      },
    });
  });
});

describe("the replay", () => {
  it("is operated by keyboard, and shows what was on screen then", async () => {
    const page = await browser.open(`/runs/${first}/replay`, { as: "operator" });
    const slider = page.getByRole("slider", { name: "Event" });
    await slider.waitFor();
    const screen = page.getByRole("region", { name: "On screen then" });
    await screen.getByText("knowledge.search").waitFor();
    await slider.focus();
    await page.keyboard.press("Home");
    await screen.getByText("Nothing was on screen yet.").waitFor();
    expect(await slider.getAttribute("aria-valuetext")).toBe("Before the first event");
    await page.keyboard.press("ArrowRight");
    expect(await slider.getAttribute("aria-valuetext")).toMatch(/^Event 1 of \d+$/);
    const list = page.getByRole("listbox", { name: "Events" });
    await list.focus();
    await page.keyboard.press("End");
    await list.getByRole("option", { name: /The run ended/, selected: true }).waitFor();
    await slider.focus();
    await page.keyboard.press("Home");
    await page.getByRole("button", { name: "Play" }).click();
    await list.getByRole("option", { name: /The run ended/, selected: true }).waitFor();
    expect(await violationsOf(page)).toEqual([]);
  });

  it("says in Indonesian what happened, too", async () => {
    const runId = await ask("Create a task to translate the replay", "assistant");
    const owner = browser.client("owner");
    const { id, fingerprint, version } = await pendingApproval(owner, runId);
    await owner.mutate(DecideApprovalDocument, {
      ...{ approvalId: id, fingerprint, expectedVersion: version },
      ...{ decision: "DENIED", reason: "belum" },
    });
    await ended(runId);
    const page = await browser.open(`/runs/${runId}/replay`, { as: "viewer", locale: "id" });
    await page.getByRole("option", { name: "Persetujuan task.create: Ditolak" }).waitFor();
    await page.getByRole("region", { name: "Di layar saat itu" }).getByText("task.create: Ditolak").waitFor();
    await page.getByRole("listbox", { name: "Peristiwa" }).press("Home");
    await page.getByRole("option", { name: "Langkah 1 dimulai (Model)" }).waitFor();
  });

  it("forks from the event that was chosen", async () => {
    const page = await browser.open(`/runs/${first}/replay`, { as: "operator" });
    await page.getByRole("option", { name: /knowledge.search answered/ }).click();
    await page.getByRole("button", { name: "Fork from here" }).click();
    await page.getByRole("button", { name: "Start the fork" }).click();
    await page.getByRole("link", { name: /^event \d+ of/ }).waitFor();
    expect(new URL(page.url()).pathname).not.toContain(first);
  });

  it("looks well and can be used by everybody", async () => {
    await browser.checkPage("replay", `/runs/${first}/replay`, {
      as: "operator",
      prepare: (page) => page.getByRole("option", { name: /The run ended/ }).waitFor(),
    });
  });

  it("draws a few of 10,000 events, wherever it is", async () => {
    const page = await browser.open("about:blank", { as: "operator" });
    await giveEvents(page, 10_000);
    await page.goto(`/runs/${first}/replay`);
    await page.getByText("Event 10000 of 10000", { exact: false }).waitFor({ timeout: 60_000 });
    const list = page.getByRole("listbox", { name: "Events" });
    const slider = page.getByRole("slider", { name: "Event" });
    await slider.focus();
    for (const [key, count] of [
      ["Home", 0],
      ["ArrowRight", 1],
      ["End", 10_000],
    ] as const) {
      await page.keyboard.press(key);
      await page.locator(`[role="slider"][aria-valuenow="${count}"]`).waitFor();
      expect(await list.getByRole("option").count()).toBeLessThan(60);
    }
    await list.evaluate((element) => {
      element.scrollTop = element.scrollHeight / 2;
    });
    await list
      .getByRole("option", { name: /word 50\d\d of it/ })
      .first()
      .waitFor();
    expect(await list.getByRole("option").count()).toBeLessThan(60);
  });
});

describe("two runs compared", () => {
  it("are chosen in the list, and what differs is marked", async () => {
    const page = await browser.open("/runs", { as: "viewer" });
    for (const id of [first, second]) await rowOf(page, id).getByRole("checkbox").check();
    await page.getByRole("button", { name: "Compare" }).click();
    const asked = page.getByRole("row", { name: /^Asked/ });
    await asked.getByText("Differs").waitFor();
    expect(await page.getByRole("row", { name: /^Status/ }).textContent()).toContain("The same");
    // How long a step took makes no difference, and is said all the same.
    const turn = page.getByRole("row", { name: /^1 / });
    expect(await turn.textContent()).toMatch(/Model · \d.*The same/);
  });

  it("have marked in their answers what only one says, light and dark", async () => {
    const third = await ended(await ask("what is known about heat transfer"));
    const page = await browser.open(`/runs/compare?one=${first}&other=${third}`, { as: "viewer" });
    const marks = page.locator('section[aria-label="Answers"] mark');
    await marks.nth(1).waitFor();
    for (const theme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme: theme });
      await page.locator(`[data-mantine-color-scheme="${theme}"]`).waitFor();
      const colours = await marks.evaluateAll((all) => all.map((mark) => getComputedStyle(mark).backgroundColor));
      expect(new Set(colours)).not.toContain("rgba(0, 0, 0, 0)");
      expect(new Set(colours).size).toBe(2);
      expect(await violationsOf(page)).toEqual([]);
    }
  });

  it("shorten what a tool was given, of which all is shown when somebody asks", async () => {
    const page = await browser.open(`/runs/compare?one=${first}&other=${second}`, { as: "viewer", width: 360 });
    const rendered = page.getByRole("row").filter({ hasText: "document.render" });
    const more = rendered.getByRole("button", { name: "Show all of it" });
    await more.nth(1).waitFor();
    const shown = async () => (await rendered.innerText()).length;
    const shortened = await shown();
    expect(shortened).toBeLessThan(500);
    await more.first().click();
    await rendered.getByRole("button", { name: "Show less" }).waitFor();
    expect(await shown()).toBeGreaterThan(shortened + 200);
    expect(await violationsOf(page)).toEqual([]);
  });

  it("look well and can be used by everybody", async () => {
    await browser.checkPage("compare", `/runs/compare?one=${first}&other=${second}`, {
      as: "viewer",
      prepare: async (page) => {
        await settled(page);
        await page.getByRole("row", { name: /^Asked/ }).waitFor();
      },
    });
  });
});

it("what needs an operator is for operators, and says when there is nothing", async () => {
  const viewer = await browser.open("/runs", { as: "viewer" });
  await rowOf(viewer, first).waitFor();
  expect(await viewer.getByRole("link", { name: "Needs an operator" }).count()).toBe(0);
  await browser.checkPage("attention", "/runs/attention", { as: "operator" });
});
