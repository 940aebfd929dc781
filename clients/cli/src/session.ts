import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createClient, RefreshSessionDocument, type Client, type Token } from "@sba/client";
import { CommandError, EXIT } from "./failure.ts";
import { note } from "./output.ts";
import { CLIENT, credentialsFile, findTarget, type GlobalOptions } from "./settings.ts";

/** Who is logged in, kept in a file that only they can read. */

export interface Login {
  readonly url: string;
  readonly accessToken: string;
  readonly expiresAt: string;
  readonly refreshToken: string;
}

const RENEW_BEFORE_MS = 60_000;
const LOCK_STALE_MS = 30_000;
const LOOK_AGAIN_MS = 50;

export async function readLogin(): Promise<Login | undefined> {
  const text = await readFile(credentialsFile(), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Login;
  } catch {
    throw new CommandError(`${credentialsFile()} is damaged: remove it and sign in again.`, EXIT.credentials);
  }
}

/** Replaces it as a whole: who reads it meanwhile sees the one or the other. */
export async function writeLogin(login: Login): Promise<void> {
  const file = credentialsFile();
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600 });
  await rename(draft, file);
}

export async function forgetLogin(): Promise<boolean> {
  const wasThere = (await readLogin()) !== undefined;
  await rm(credentialsFile(), { force: true });
  return wasThere;
}

/** A client of whoever the options, the environment or the login name. @throws CommandError when nobody is. */
export async function openClient(options: GlobalOptions): Promise<Client> {
  const login = await readLogin();
  const { url, token } = findTarget(options, login?.url);
  if (token === undefined && login?.url !== url)
    throw new CommandError(
      `You are not signed in at ${url}: \`sba login\`, or --token, or SBA_TOKEN.`,
      EXIT.credentials,
    );
  return createClient({ url, client: CLIENT, token: token ?? currentToken(login as Login), onWarning: note });
}

/** The login's token, renewed in time. A refresh token is good once, so processes take turns. */
function currentToken(login: Login): Token {
  let current = login;
  const isGood = (): boolean => Date.parse(current.expiresAt) - Date.now() > RENEW_BEFORE_MS;
  return async () => {
    if (isGood()) return current.accessToken;
    await withLock(async () => {
      current = (await readLogin()) ?? current;
      if (isGood()) return;
      const client = createClient({ url: current.url, client: CLIENT });
      const { refreshSession } = await client.mutate(RefreshSessionDocument, { refreshToken: current.refreshToken });
      current = { ...current, ...refreshSession };
      await writeLogin(current);
    });
    return current.accessToken;
  };
}

async function withLock(work: () => Promise<void>): Promise<void> {
  const file = `${credentialsFile()}.lock`;
  for (;;) {
    const lock = await open(file, "wx").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
      return undefined;
    });
    if (lock) {
      await lock.close();
      return work().finally(() => rm(file, { force: true }));
    }
    // Whoever held it was killed.
    const heldSince = await stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    if (Date.now() - heldSince > LOCK_STALE_MS) await rm(file, { force: true });
    else await delay(LOOK_AGAIN_MS);
  }
}
