import {
  createClient,
  RefreshSessionDocument,
  SignInDocument,
  SignOutDocument,
  toApiError,
  UnauthenticatedError,
  type Observable,
  type SignInMutation,
} from "@sba/client";
import { forgetExchange, keepExchange, lastExchange } from "./exchange.ts";

/**
 * Who is signed in, in all tabs at once: the tokens are in localStorage, and one tab at a time exchanges the refresh token, which
 * is good once. See docs/adr/0019-the-console.md for why they are there.
 */

export interface SessionState {
  /** Another principal or tenant is another one. Undefined when nobody is signed in. */
  readonly principal: string | undefined;
  /** It was ended by the system: it was revoked, or not used for a month. */
  readonly wasEnded: boolean;
}

export interface Session extends Observable<SessionState> {
  /** @throws ApiError, IDENTITY_CREDENTIALS_INVALID above all. */
  signIn(email: string, password: string): Promise<void>;
  signOut(): Promise<void>;
  /** A token that is good for a while. @throws ApiError when the API cannot be reached and the last one has ended. */
  token(): Promise<string | undefined>;
  /** The API refused the token: gets another, or, where there is none to be had, ends. @returns whether to try again. */
  refused(token: string | undefined): Promise<boolean>;
}

type Answer = SignInMutation["signIn"];

interface Kept {
  readonly accessToken: string;
  readonly refreshToken: string;
  /** By this machine's clock, in ms since 1970: a wrong clock is as wrong later. */
  readonly endsAtMs: number;
}

const KEY = "sba.session";
/** A token is exchanged when less than this is left of it. */
const RENEW_BEFORE_MS = 60_000;

export function openSession(url: string): Session {
  const client = createClient({ url, shareAcrossTabs: false });
  const listeners = new Set<() => void>();
  let state: SessionState = { principal: principalOf(read()), wasEnded: false };
  const show = (wasEnded: boolean): void => {
    const principal = principalOf(read());
    if (principal === state.principal && wasEnded === state.wasEnded) return;
    state = { principal, wasEnded };
    for (const listener of listeners) listener();
  };
  const keep = (kept: Kept | undefined, wasEnded = false): void => {
    if (kept) localStorage.setItem(KEY, JSON.stringify(kept));
    else {
      localStorage.removeItem(KEY);
      void forgetExchange();
    }
    show(wasEnded);
  };
  // Another tab has signed in or out.
  window.addEventListener("storage", ({ key }) => {
    if (key === KEY || key === null) show(false);
  });

  /** Exchanges the refresh token, unless another tab has done so while this one waited. */
  const renew = (isGood: (kept: Kept) => boolean): Promise<Kept | undefined> =>
    alone(async () => {
      const shown = read();
      if (!shown) return undefined;
      const last = await lastExchange<Kept>();
      const kept = last?.spent === shown.refreshToken ? last.kept : shown;
      if (kept !== shown) keep(kept);
      if (isGood(kept)) return kept;
      try {
        const { refreshSession } = await client.mutate(RefreshSessionDocument, { refreshToken: kept.refreshToken });
        const next = toKept(refreshSession);
        keep(next);
        await keepExchange<Kept>({ spent: kept.refreshToken, kept: next });
        return next;
      } catch (error) {
        if (!(toApiError(error) instanceof UnauthenticatedError)) throw error;
        keep(undefined, true);
        return undefined;
      }
    });

  return {
    get: () => state,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    signIn: async (email, password) => {
      const { signIn } = await client.mutate(SignInDocument, { email, password });
      keep(toKept(signIn));
    },
    signOut: async () => {
      const refreshToken = read()?.refreshToken;
      keep(undefined);
      if (refreshToken !== undefined) await client.mutate(SignOutDocument, { refreshToken });
    },
    token: async () => {
      const kept = read();
      if (!kept || leftMs(kept) > RENEW_BEFORE_MS) return kept?.accessToken;
      try {
        return (await renew((now) => leftMs(now) > RENEW_BEFORE_MS))?.accessToken;
      } catch (error) {
        if (leftMs(kept) > 0) return kept.accessToken;
        throw error;
      }
    },
    refused: async (token) => {
      const renewed = await renew((kept) => kept.accessToken !== token);
      return renewed !== undefined;
    },
  };
}

function leftMs({ endsAtMs }: Kept): number {
  return endsAtMs - Date.now();
}

function toKept({ accessToken, refreshToken, expiresAt }: Answer): Kept {
  const { exp, iat } = claimsOf(accessToken);
  const livesMs = exp !== undefined && iat !== undefined ? (exp - iat) * 1_000 : Date.parse(expiresAt) - Date.now();
  return { accessToken, refreshToken, endsAtMs: Date.now() + livesMs };
}

function read(): Kept | undefined {
  try {
    return (JSON.parse(localStorage.getItem(KEY) ?? "null") as Kept | null) ?? undefined;
  } catch {
    return undefined;
  }
}

function principalOf(kept: Kept | undefined): string | undefined {
  if (!kept) return undefined;
  const { sub, tid } = claimsOf(kept.accessToken);
  return `${tid ?? ""}/${sub ?? ""}`;
}

interface Claims {
  readonly sub?: string;
  readonly tid?: string;
  readonly exp?: number;
  readonly iat?: number;
}

/** What the token says; whether it is true is the API's to judge. */
function claimsOf(token: string): Claims {
  try {
    return JSON.parse(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/"))) as Claims;
  } catch {
    return {};
  }
}

/** One tab at a time; browsers have no locks on pages that came over plain HTTP from another machine. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  return "locks" in navigator ? navigator.locks.request(KEY, work) : work();
}
