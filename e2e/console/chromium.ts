import { createClient, SignInDocument } from "@sba/client";
import { findProgram } from "@sba/testkit/program";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions } from "playwright-core";

/** Debian's Chromium and windows in it: for the console's checks, and for what is measured of it (bench/console.ts). */

const CHROMIUM_IS_MISSING =
  "The console's checks need Chromium (Debian and Ubuntu: apt-get install chromium), or its path in CHROMIUM.";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launchChromium(): Promise<Browser> {
  const executablePath =
    process.env["CHROMIUM"] ?? findProgram("chromium", { debianPackage: "chromium", otherwise: CHROMIUM_IS_MISSING });
  return chromium.launch({ executablePath, args: FLAGS });
}

interface WindowOptions extends BrowserContextOptions {
  /** What the console has kept there, unless the window has changed it since. */
  readonly kept: Readonly<Record<string, string>>;
}

/** A window of its own, as of somebody else's machine. */
export async function openWindow(browser: Browser, { kept, ...options }: WindowOptions): Promise<BrowserContext> {
  const context = await browser.newContext(options);
  await context.addInitScript((entries) => {
    if (location.protocol === "about:") return;
    for (const [key, value] of Object.entries(entries))
      if (localStorage.getItem(key) === null) localStorage.setItem(key, value);
  }, kept);
  return context;
}

interface Credentials {
  readonly graphqlUrl: string;
  readonly email: string;
  readonly password: string;
}

/** What the console keeps of somebody who has signed in: a session of its own each time. */
export async function signedIn({
  graphqlUrl,
  email,
  password,
}: Credentials): Promise<Readonly<Record<string, string>>> {
  const client = createClient({ url: graphqlUrl });
  const { signIn } = await client.mutate(SignInDocument, { email, password });
  await client.close();
  const { accessToken, refreshToken, expiresAt } = signIn;
  return { "sba.session": JSON.stringify({ accessToken, refreshToken, endsAtMs: Date.parse(expiresAt) }) };
}
