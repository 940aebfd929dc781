import {
  CancelRunDocument,
  CreateAgentDocument,
  DecideApprovalDocument,
  PauseRunDocument,
  RunDocument,
  RunLiveSnapshotDocument,
  StartRunDocument,
  type Client,
} from "@sba/client";
import type { Page } from "playwright-core";
import { describe, expect, it, onTestFinished } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { SLOW_MODEL } from "../slow-model.ts";
import { collectEvents, pendingApproval, textOf } from "../story.ts";
import { useBrowser } from "./browser.ts";

const browser = useBrowser();

const answered = (page: Page) => page.getByText("Done", { exact: true }).waitFor();
/** Words as they are on the screen, and as they are in the journal: white space is the browser's. */
const wordsOf = (text: string) => text.replaceAll(/\s+/g, " ").trim();
const shownIn = async (page: Page) => wordsOf((await page.locator("[data-answer]").allInnerTexts()).join(" "));
const connection = (page: Page, status: string) => page.locator(`[data-connection="${status}"]:visible`);
const runIdOf = (page: Page) => new URL(page.url()).pathname.split("/").at(-1) ?? "";

async function ask(client: Client, agentKey: string, prompt: string): Promise<string> {
  return (await client.mutate(StartRunDocument, { agentKey, prompt })).startRun.id;
}

/** A run that says a word every 20 ms for as long as nobody stops it. */
async function startTalking(): Promise<string> {
  const key = `talker-${Date.now().toString(36)}`;
  const input = { key, name: "Talker", instructions: "Talk.", model: SLOW_MODEL, tools: [] };
  await browser.client("owner").mutate(CreateAgentDocument, { input });
  const operator = browser.client("operator");
  const runId = await ask(operator, key, "Tell me everything.");
  onTestFinished(async () => {
    // A test that failed has not stopped it; one that was stopped is refused.
    await operator.mutate(CancelRunDocument, { runId }).catch(() => undefined);
  });
  return runId;
}

/** Until so many words are on the screen, and how many there are then. */
async function words(page: Page, count: number): Promise<number> {
  const counted = await page.waitForFunction((wanted) => {
    const text = document.querySelector("[data-answer]")?.textContent ?? "";
    const last = Number(/word (\d+)\s*$/.exec(text)?.[1] ?? 0);
    return last >= wanted && last;
  }, count);
  return Number(await counted.jsonValue());
}

describe("asking", () => {
  it("brings the answer word by word, with sources that open their passage and a file to look at and keep", async () => {
    const page = await browser.open("/ask", { as: "operator" });
    await page.getByLabel("Agent").selectOption("Handbook");
    await page.getByLabel("Your question").fill(QUESTION);
    await page.keyboard.press("Enter");
    await page.locator("[data-answer]").first().waitFor();
    await answered(page);

    const { run } = await browser.client("operator").query(RunDocument, { id: runIdOf(page) });
    expect(run.prompt).toBe(QUESTION);
    const [first] = run.citations;
    const source = page.getByRole("button", { name: `Source 1: ${first?.document?.title ?? ""}` }).first();
    // Sources are known with the run's end; until then their markers are text.
    await source.waitFor();
    const markers = (text: string) => text.replaceAll(/\[(\d+)\]/g, "$1");
    expect(await shownIn(page)).toBe(wordsOf(markers(run.output ?? "")));
    await source.click();
    expect(wordsOf(await page.getByRole("dialog").locator("mark").innerText())).toBe(wordsOf(first?.quote ?? ""));
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });

    await page.getByRole("button", { name: "Look at it" }).click();
    await page.getByRole("dialog").getByRole("heading", { name: QUESTION }).waitFor();
    await page.keyboard.press("Escape");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe(run.artifacts[0]?.name);
    expect(await page.locator("[data-facts]").innerText()).toMatch(/Cost US\$0\.00\d+ · [\d,]+ tokens · Took/);
  });

  it("goes on in the same conversation, which knows what was said", async () => {
    const runId = await ask(browser.client("operator"), "handbook", QUESTION);
    const page = await browser.open(`/ask/${runId}`, { as: "operator" });
    await answered(page);
    await page.getByLabel("Your question").fill("what is known about heat transfer at a stagnation point");
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => !url.pathname.endsWith(runId));
    const nextId = runIdOf(page);
    await page.getByRole("article", { name: QUESTION }).waitFor();
    await page
      .getByRole("article", { name: "what is known about heat transfer" })
      .getByText("Done", { exact: true })
      .waitFor();
    const [one, next] = await Promise.all(
      [runId, nextId].map((id) => browser.client("operator").query(RunLiveSnapshotDocument, { runId: id })),
    );
    expect(next?.run.thread.id).toBe(one?.run.thread.id);
  });

  it("is not offered to those who may only read", async () => {
    const runId = await ask(browser.client("operator"), "handbook", "what causes flutter");
    const page = await browser.open("/ask", { as: "viewer" });
    await page.getByText("Your role may read what was asked, but not ask.").waitFor();
    expect(await page.getByLabel("Your question").count()).toBe(0);
    await page.goto(`/ask/${runId}`);
    await answered(page);
    expect(await page.getByRole("textbox").count()).toBe(0);
    expect(await page.getByRole("button", { name: "Stop" }).count()).toBe(0);
  });
});

describe("an approval in the flow", () => {
  const asking = async (what: string) => {
    const runId = await ask(browser.client("operator"), "assistant", `Create a task to ${what}`);
    await pendingApproval(browser.client("owner"), runId);
    return runId;
  };

  it("is edited and approved by whoever may, and watched by whoever asked", async () => {
    const runId = await asking("order a new wind tunnel fan");
    const [owner, operator] = await Promise.all([
      browser.open(`/ask/${runId}`, { as: "owner" }),
      browser.open(`/ask/${runId}`, { as: "operator" }),
    ]);
    await operator.getByText("It waits for somebody who may decide it.").waitFor();
    expect(await operator.getByRole("button", { name: "Approve" }).count()).toBe(0);
    await owner.getByRole("button", { name: "Edit" }).click();
    await owner.getByLabel("title").fill("Order two wind tunnel fans");
    await owner.getByRole("button", { name: "Approve as edited" }).click();
    for (const page of [owner, operator]) {
      await page.getByText("by Olivia Owner").waitFor();
      await answered(page);
    }
    expect(await shownIn(operator)).toContain("Order two wind tunnel fans");
  });

  it("is denied with a reason, which the agent reads", async () => {
    const runId = await asking("oil the balance");
    const page = await browser.open(`/ask/${runId}`, { as: "owner" });
    await page.getByRole("button", { name: "Deny" }).click();
    await page.getByRole("button", { name: "Deny" }).click();
    await page.getByText("Say why.").waitFor();
    await page.getByLabel("Reason").fill("It was oiled on Monday");
    await page.getByRole("button", { name: "Deny" }).click();
    await page.getByText("It was oiled on Monday").first().waitFor();
    await answered(page);
    expect((await collectEvents(browser.client("operator"), runId)).at(-1)).toMatchObject({
      __typename: "RunFinished",
    });
  });
});

describe("a run that is under way", () => {
  it("loses nothing when the page is reloaded, and the server killed under it", async () => {
    const runId = await startTalking();
    const page = await browser.open(`/ask/${runId}`, { as: "operator" });
    await words(page, 20);
    await page.reload();
    await words(page, 60);
    const { pids } = await browser.ready();
    process.kill(pids.server, "SIGKILL");
    await connection(page, "reconnecting").waitFor();
    await connection(page, "connected").waitFor({ timeout: 60_000 });
    await words(page, (await words(page, 60)) + 20);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped. What was written until then is kept.").waitFor();
    const events = await collectEvents(browser.client("operator"), runId);
    expect(await shownIn(page)).toBe(wordsOf(textOf(events)));
    expect(await shownIn(page)).toMatch(/^word 1 word 2 .*word \d+$/);
  });

  it("is told something by whoever watches, and shows it after a reload too", async () => {
    const runId = await startTalking();
    const page = await browser.open(`/ask/${runId}`, { as: "operator" });
    await words(page, 5);
    await page.getByLabel("Your message").fill("Shorter, please.");
    await page.keyboard.press("Enter");
    const said = page.getByText("Shorter, please.");
    await said.waitFor();
    await page.reload();
    await said.waitFor();
    await page.getByText("The agent hears it next").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Stopped. What was written until then is kept.").waitFor();
  });

  it("is heard in two tabs by one socket, and goes on when the tab that had it is closed", async () => {
    const runId = await startTalking();
    const page = await browser.open("/ask", { as: "operator" });
    const sockets = new Map<Page, number>();
    const count = (each: Page) => {
      sockets.set(each, 0);
      each.on("websocket", (socket) => {
        sockets.set(each, (sockets.get(each) ?? 0) + 1);
        socket.on("close", () => sockets.set(each, (sockets.get(each) ?? 0) - 1));
      });
    };
    const open = () => [...sockets.values()].reduce((sum, each) => sum + each, 0);
    count(page);
    await page.goto(`/ask/${runId}`);
    await words(page, 5);
    const other = await page.context().newPage();
    count(other);
    await other.goto(`/ask/${runId}`);
    await words(other, 10);
    expect(open()).toBe(1);
    await page.close();
    sockets.delete(page);
    await words(other, (await words(other, 10)) + 30);
    expect(open()).toBe(1);
    await other.getByRole("button", { name: "Stop" }).click();
    await other.getByText("Stopped. What was written until then is kept.").waitFor();
    const events = await collectEvents(browser.client("operator"), runId);
    expect(await shownIn(other)).toBe(wordsOf(textOf(events)));
  });
});

describe("what is said to a run", () => {
  const say = async (page: Page, as: "question" | "message" | "answer", text: string) => {
    await page.getByLabel(`Your ${as}`).fill(text);
    await page.keyboard.press("Enter");
  };
  const hear = (page: Page, mode: "QUEUE" | "INTERRUPT") =>
    page.getByLabel("When should the agent hear it?").selectOption(mode);
  const turn = (page: Page, prompt: string) => page.getByRole("article", { name: prompt, exact: true });
  /** A run that waits until the owner has decided something. */
  const waiting = async (what: string) => {
    const runId = await ask(browser.client("operator"), "assistant", `Create a task to ${what}`);
    return { runId, approval: await pendingApproval(browser.client("owner"), runId) };
  };

  it("answers the agent when it asks", async () => {
    const runId = await ask(browser.client("operator"), "handbook", "?!");
    const page = await browser.open(`/ask/${runId}`, { as: "operator" });
    await page.getByText("The agent waits for your answer.").waitFor();
    expect(await page.getByLabel("When should the agent hear it?").count()).toBe(0);
    const viewer = await browser.open(`/ask/${runId}`, { as: "viewer" });
    await viewer.getByText("The agent waits for your answer.").waitFor();
    expect(await viewer.getByRole("textbox").count()).toBe(0);
    await say(page, "answer", "what causes flutter");
    for (const each of [page, viewer]) await answered(each);
    expect(runIdOf(page)).toBe(runId);
    await page.getByText("what causes flutter").first().waitFor();
    const { run } = await browser.client("operator").query(RunDocument, { id: runId });
    expect(run).toMatchObject({ status: "COMPLETED", output: expect.stringContaining("flutter") });
  });

  it("is answered after the answer that is being waited for, when it is queued", async () => {
    const { runId, approval } = await waiting("queue behind this");
    const page = await browser.open(`/ask/${runId}`, { as: "operator" });
    await hear(page, "QUEUE");
    await say(page, "message", "what is known about heat transfer");
    await page.waitForURL((url) => !url.pathname.endsWith(runId));
    const queued = turn(page, "what is known about heat transfer");
    await queued.getByText("Starting", { exact: true }).waitFor();
    await turn(page, "Create a task to queue behind this").getByText("Answered next").waitFor();
    const { id, fingerprint, version } = approval;
    await browser.client("owner").mutate(DecideApprovalDocument, {
      ...{ approvalId: id, fingerprint, expectedVersion: version, decision: "APPROVED" },
    });
    for (const each of [queued, turn(page, "Create a task to queue behind this")])
      await each.getByText("Done", { exact: true }).waitFor();
  });

  it("is answered in place of what is under way, when it interrupts", async () => {
    const { runId } = await waiting("be interrupted");
    const page = await browser.open(`/ask/${runId}`, { as: "operator" });
    await hear(page, "INTERRUPT");
    await say(page, "message", "what is known about heat transfer");
    await page.waitForURL((url) => !url.pathname.endsWith(runId));
    await turn(page, "what is known about heat transfer").getByText("Done", { exact: true }).waitFor();
    const stopped = turn(page, "Create a task to be interrupted");
    await stopped.getByText("Stopped. What was written until then is kept.").waitFor();
    expect(await stopped.getByRole("button", { name: "Approve" }).count()).toBe(0);
  });

  it("waits while it is paused, and goes on when it is let", async () => {
    const runId = await startTalking();
    const page = await browser.open(`/ask/${runId}`, { as: "operator" });
    await words(page, 5);
    await browser.client("operator").mutate(PauseRunDocument, { runId });
    await page.getByText("Paused. It does nothing more until somebody lets it go on.").waitFor();
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("At work", { exact: true }).waitFor();
    await words(page, 10);
    expect(await page.getByRole("button", { name: "Go on" }).count()).toBe(0);
  });

  it("is kept while the network is gone, which is said, and sent when it is back", async () => {
    const page = await browser.open("/ask", { as: "operator" });
    await page.getByLabel("Your question").waitFor();
    await page.context().setOffline(true);
    const banner = page.getByText("You are offline. What you see may be old; what you send waits until you are back.");
    await banner.waitFor();
    await page.getByText("Offline", { exact: true }).filter({ visible: true }).waitFor();
    await say(page, "question", QUESTION);
    await page.getByText("1 change waits to be sent").filter({ visible: true }).waitFor();
    await turn(page, QUESTION).waitFor();
    await page.context().setOffline(false);
    await banner.waitFor({ state: "detached" });
    await answered(page);
    // What draws its sources could not be loaded either.
    await page.locator("[data-answer] button").first().waitFor();
  });
});

describe("its pages can be read and used by everybody", () => {
  it("before anything is asked", () => browser.checkPage("ask", "/ask", { as: "operator" }));

  it("with an answer and its sources", async () => {
    const runId = await ask(browser.client("operator"), "handbook", QUESTION);
    await collectEvents(browser.client("operator"), runId);
    const prepare = async (page: Page) => {
      await page.locator("[data-answer] button").first().waitFor();
    };
    await browser.checkPage("ask-answer", `/ask/${runId}`, { as: "operator", prepare });
  });

  it("with the passage that a claim rests on", async () => {
    const runId = await ask(browser.client("operator"), "handbook", QUESTION);
    await collectEvents(browser.client("operator"), runId);
    const prepare = async (page: Page) => {
      await page.locator("[data-answer] button").first().click();
      await page.getByRole("dialog").locator("mark").waitFor();
    };
    await browser.checkPage("ask-source", `/ask/${runId}`, { as: "operator", prepare });
  });

  it("with an approval that is being edited", async () => {
    const runId = await ask(browser.client("operator"), "assistant", "Create a task to order a new wind tunnel fan");
    await pendingApproval(browser.client("owner"), runId);
    const prepare = (page: Page) => page.getByRole("button", { name: "Edit" }).click();
    await browser.checkPage("ask-approval", `/ask/${runId}`, { as: "owner", prepare });
  });
});
