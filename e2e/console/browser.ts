import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createClient, type Client } from "@sba/client";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, inject, onTestFinished } from "vitest";
import { readReady, type Ready } from "../system.ts";
import { launchChromium, openWindow, signedIn } from "./chromium.ts";

/** What the console's checks have in common: a browser, people who are signed in, and what holds for every page. */

type Role = "owner" | "operator" | "viewer";
type Theme = "light" | "dark";

interface OpenOptions {
  /** Signed in as; nobody by default. */
  readonly as?: Role;
  readonly width?: number;
  readonly theme?: Theme;
  readonly locale?: "en" | "id";
}

export interface ConsoleBrowser {
  /**
   * A window of its own, as of somebody else's machine, until the test that is running ends. Fails it on any error in its console;
   * how it looked when the test failed is in `screenshots/failed-...`.
   */
  open(path: string, options?: OpenOptions): Promise<Page>;
  /** The API as the same people. */
  client(role: Role): Client;
  ready(): Promise<Ready>;
  /**
   * What holds for every page, as it is in front of the role: no violation that axe finds, light and dark; no sideways scrolling
   * of it or of its tables; a picture of it at 360 and 1440 px in `screenshots/`, loaded at each. `prepare` brings the page to what is to be
   * looked at.
   */
  checkPage(name: string, path: string, options?: CheckOptions): Promise<void>;
}

interface CheckOptions {
  readonly as?: Role;
  readonly prepare?: (page: Page) => Promise<unknown>;
  /** What has to be in the window, at both widths: a selector. */
  readonly shows?: string;
}

const SCREENSHOTS = join(import.meta.dirname, "screenshots");
const NARROW = 360;
const WIDE = 1440;
const HEIGHT = 900;
/** For what is to appear: longer than a run of the built-in model takes on a busy machine. */
const PATIENCE_MS = 30_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const EVERYTHING = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
/** All that another theme of the same page can break. */
const COLOURS = { type: "rule", values: ["color-contrast", "link-in-text-block"] };

/** Opens a browser for the file's tests; call it at its top. */
export function useBrowser(): ConsoleBrowser {
  let browser: Browser | undefined;
  let windows = 0;
  const clients: Client[] = [];
  let ready: Ready | undefined;
  beforeAll(async () => {
    ready = await readReady(inject("readyFile"));
    browser = await launchChromium();
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await browser?.close();
  });
  const system = (): Ready & { readonly consoleUrl: string } => {
    if (!ready?.consoleUrl) throw new Error("the console is there once the file's tests run, if it was built");
    return { ...ready, consoleUrl: ready.consoleUrl };
  };
  const open: ConsoleBrowser["open"] = async (path, options = {}) => {
    const { as, width = WIDE, theme = "light", locale = "en" } = options;
    const { consoleUrl } = system();
    const context = await openWindow(browserOf(browser), {
      kept: { "sba.locale": locale, ...(as === undefined ? {} : await sessionOf(system(), as)) },
      baseURL: consoleUrl,
      viewport: { width, height: HEIGHT },
      colorScheme: theme,
      reducedMotion: "reduce",
      locale: locale === "id" ? "id-ID" : "en-GB",
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    page.on("pageerror", (error) => {
      expect.soft(error.message, `an error on ${path}`).toBeUndefined();
    });
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) expect.soft(message.text()).toBeUndefined();
    });
    const window = ++windows;
    onTestFinished(async ({ task }) => {
      const name = task.name.replaceAll(/\W+/g, "-").slice(0, 60);
      const path = join(SCREENSHOTS, `failed-${name}-${window}.png`);
      if (task.result?.state === "fail") await page.screenshot({ path }).catch(() => undefined);
      // What it goes on to draw would take the time of the tests after it.
      await context.close();
    });
    await page.goto(path);
    return page;
  };
  return {
    open,
    ready: () => readReady(inject("readyFile")),
    client: (role) => {
      const { graphqlUrl, subscriptionsUrl, tenants } = system();
      const token = tenants[0]?.tokens[role] ?? "";
      const client = createClient({ url: graphqlUrl, subscriptionsUrl, token });
      clients.push(client);
      return client;
    },
    checkPage: async (name, path, { as, prepare = settled, shows } = {}) => {
      for (const width of [NARROW, WIDE]) {
        const page = await open(path, { width, ...(as === undefined ? {} : { as }) });
        await prepare(page);
        await twoFrames(page);
        if (shows !== undefined)
          await expect
            .poll(() => isInWindow(page, shows), { message: `${name} at ${width} px shows ${shows}` })
            .toBe(true);
        // What is fixed or sticky would be in the middle of a picture of all of the page.
        if (width === NARROW) await page.evaluate(() => window.scrollTo(0, 0));
        expect(await widerThanWindow(page), `${name} at ${width} px is wider than it`).toEqual([]);
        for (const theme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme: theme });
          await page.locator(`[data-mantine-color-scheme="${theme}"]`).waitFor();
          const picture = join(SCREENSHOTS, `${name}-${width}-${theme}.png`);
          // Without it colours are on their way from those of the other theme.
          await page.screenshot({ path: picture, fullPage: width === NARROW, animations: "disabled" });
          const found = await violationsOf(page, theme === "light" ? EVERYTHING : COLOURS);
          expect(found, `${name} at ${width} px, ${theme}`).toEqual([]);
        }
        await page.context().close();
      }
    },
  };
}

function browserOf(browser: Browser | undefined): Browser {
  if (!browser) throw new Error("the browser is there once the file's tests run");
  return browser;
}

function isInWindow(page: Page, selector: string): Promise<boolean> {
  return page
    .locator(selector)
    .first()
    .evaluate((element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return bottom > 0 && top < window.innerHeight;
    });
}

/** The page, or a table in it, that would have to be scrolled sideways. */
function widerThanWindow(page: Page): Promise<readonly string[]> {
  return page.evaluate(() => {
    const tables = [...document.querySelectorAll("table[role=table]")].flatMap(
      ({ parentElement }) => parentElement ?? [],
    );
    return [document.documentElement, ...tables]
      .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
      .map(({ tagName, ariaLabel }) => ariaLabel ?? tagName);
  });
}

/** What watches its own size has drawn itself. */
async function twoFrames(page: Page): Promise<void> {
  await page.evaluate(
    () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(undefined)))),
  );
}

/** Nothing is loading any more, and the page has its heading. */
export async function settled(page: Page): Promise<void> {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(() => document.querySelector(".mantine-Skeleton-root, .mantine-Loader-root") === null);
}

/** What axe finds, said so that somebody can mend it. */
export async function violationsOf(page: Page, runOnly = EVERYTHING): Promise<readonly string[]> {
  // Not a script element: the page's content security policy would refuse it.
  const found = await page.evaluate(
    async ({ source, options }) => {
      // eslint-disable-next-line @typescript-eslint/no-implied-eval -- devtools' evaluation is not the page's.
      if (!("axe" in window)) new Function(source).call(window);
      const { axe } = window as unknown as { axe: { run(root: Document, options: unknown): Promise<AxeResults> } };
      const { violations } = await axe.run(document, options);
      return violations.map(({ id, help, nodes }) => ({
        id,
        help,
        nodes: nodes.map(({ html, failureSummary }) => `${html} ${failureSummary ?? ""}`),
      }));
    },
    { source: AXE, options: { runOnly } },
  );
  return found.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.slice(0, 5).join("\n  ")}`);
}

/** A session of its own for each window. */
async function sessionOf({ graphqlUrl, tenants }: Ready, role: Role): Promise<Readonly<Record<string, string>>> {
  const people = tenants[0]?.people;
  return signedIn({ graphqlUrl, email: people?.[role] ?? "", password: people?.password ?? "" });
}
