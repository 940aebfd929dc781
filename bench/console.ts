import { gzipSync } from "node:zlib";
import { createClient, RunEventsDocument, StartRunDocument } from "@sba/client";
import type { Browser, Page } from "playwright-core";
import { launchChromium, openWindow, signedIn } from "../e2e/console/chromium.ts";
import { giveEvents } from "../e2e/console/many-events.ts";
import { closing } from "./cleanup.ts";
import { below, fact, median, percentile, type Measurement } from "./measurement.ts";
import type { System } from "./system.ts";

/** The console in Chromium, as the gateway serves it, and on the local model: what its users wait for. */

const FIRST_LOAD_LIMIT_KB = 250;
const FIRST_TOKEN_LIMIT_MS = 500;
const FRAME_LIMIT_MS = 100;
const ASKS = 30;
const WARM_UP_ASKS = 3;
const EVENTS = 10_000;
const PLAYED_MS = 3_000;
/** Only to end what hangs. */
const PATIENCE_MS = 60_000;

export async function measureConsole(system: System): Promise<Measurement[]> {
  const browser = await launchChromium();
  return closing(
    () => browser.close(),
    async () => [
      await firstLoad(browser, system),
      ...(await firstTokens(browser, system)),
      ...(await frames(browser, system)),
    ],
  );
}

/** A page of somebody who has signed in, in a window that has nothing kept yet. */
async function openPage(browser: Browser, { graphqlUrl, consoleUrl, operator }: System): Promise<Page> {
  const kept = { "sba.locale": "en", ...(await signedIn({ graphqlUrl, ...operator })) };
  const context = await openWindow(browser, { kept, baseURL: consoleUrl, viewport: { width: 1440, height: 900 } });
  context.setDefaultTimeout(PATIENCE_MS);
  return context.newPage();
}

const question = (page: Page) => page.getByRole("textbox", { name: "Your question" });

async function firstLoad(browser: Browser, system: System): Promise<Measurement> {
  const page = await openPage(browser, system);
  const sizes: Promise<number>[] = [];
  page.on("response", (response) => {
    if (response.url().endsWith(".js")) sizes.push(response.body().then((body) => gzipSync(body).length));
  });
  await page.goto("/ask");
  await question(page).waitFor();
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  await page.context().close();
  return below(FIRST_LOAD_LIMIT_KB, fact("script before the first question can be asked, gzip", bytes / 1_000, "KB"));
}

interface Watched {
  askedAtMs: number | undefined;
  drawnAfterMs: number | undefined;
  frames: number[];
}

/** In the page, so that nobody's way to it is measured: from the key to the frame that has the first token in it. */
function watchFirstToken(): void {
  const watched = window as unknown as Watched;
  addEventListener(
    "keydown",
    ({ key, timeStamp }) => {
      if (key === "Enter") watched.askedAtMs = timeStamp;
    },
    true,
  );
  new MutationObserver(() => {
    const { askedAtMs } = watched;
    if (askedAtMs === undefined || (document.querySelector("[data-answer]")?.textContent ?? "").trim() === "") return;
    watched.askedAtMs = undefined;
    // What comes after a frame's callbacks is its drawing; a message is heard when that is done.
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        watched.drawnAfterMs = performance.now() - askedAtMs;
      };
      port2.postMessage(undefined);
    });
  }).observe(document, { subtree: true, childList: true, characterData: true });
}

async function firstTokens(browser: Browser, system: System): Promise<Measurement[]> {
  const page = await openPage(browser, system);
  await page.addInitScript(watchFirstToken);
  const samples: number[] = [];
  for (let index = 0; index < WARM_UP_ASKS + ASKS; index++) {
    await page.goto("/ask", { waitUntil: "networkidle" });
    await question(page).pressSequentially(`what causes flutter ${index}`);
    await page.keyboard.press("Enter");
    const drawn = await page.waitForFunction(() => (window as unknown as Watched).drawnAfterMs);
    samples.push(Number(await drawn.jsonValue()));
    // The next one is not to share the machine with the end of this one.
    await page.getByText("Done", { exact: true }).waitFor();
  }
  await page.context().close();
  const measured = samples.slice(WARM_UP_ASKS);
  return [
    fact(`Enter to the first token on the screen, p50 of ${ASKS} questions`, median(measured), "ms"),
    below(FIRST_TOKEN_LIMIT_MS, fact("  p95", percentile(measured, 0.95), "ms")),
    fact("  the longest", Math.max(...measured), "ms"),
  ];
}

/** Writes down how long each frame takes from now on. */
function watchFrames(): void {
  const watched = window as unknown as Watched;
  watched.frames = [];
  let last = performance.now();
  const tick = (now: number): void => {
    watched.frames.push(now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

/** A replay that is gone through by keys, scrolled and played. */
async function frames(browser: Browser, system: System): Promise<Measurement[]> {
  const runId = await endedRun(system);
  const page = await openPage(browser, system);
  await giveEvents(page, EVENTS);
  await page.goto(`/runs/${runId}/replay`);
  await page.getByText(`Event ${EVENTS} of ${EVENTS}`, { exact: false }).waitFor();
  await page.getByRole("slider", { name: "Event" }).focus();
  await page.evaluate(watchFrames);
  for (const key of ["Home", "End", "PageUp", "PageUp", "ArrowLeft", "Home"]) await page.keyboard.press(key);
  await page.getByRole("listbox", { name: "Events" }).evaluate(async (list) => {
    for (let step = 0; step < 60; step++) {
      list.scrollTop = (list.scrollHeight / 60) * step;
      await new Promise(requestAnimationFrame);
    }
  });
  await page.getByText("16×").click();
  await page.getByRole("button", { name: "Play" }).click();
  const playedSince = await page.evaluate(() => performance.now());
  await page.waitForFunction(([since, ms]) => performance.now() - since > ms, [playedSince, PLAYED_MS] as const);
  const taken = await page.evaluate(() => (window as unknown as Watched).frames);
  await page.context().close();
  return [
    below(
      FRAME_LIMIT_MS,
      fact(`the longest of ${taken.length} frames of a replay of 10,000 events`, Math.max(...taken), "ms"),
    ),
    fact("  p95", percentile(taken, 0.95), "ms"),
  ];
}

async function endedRun({ graphqlUrl, subscriptionsUrl, operatorToken }: System): Promise<string> {
  const client = createClient({ url: graphqlUrl, subscriptionsUrl, token: operatorToken });
  const { startRun } = await client.mutate(StartRunDocument, { agentKey: "handbook", prompt: "what causes flutter" });
  for await (const _event of client.subscribe(RunEventsDocument, { runId: startRun.id }));
  await client.close();
  return startRun.id;
}
