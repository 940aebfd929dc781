import { recordOf } from "../errors.ts";
import { readToken, type Token } from "../token.ts";

/** New credentials over the open socket, before the old ones end: nothing on it is interrupted. */

/** They are sent when this much of the old ones' time is left, at most. */
const RENEW_BEFORE_MS = 60_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface Renewal {
  /** `{"authorization":{"expiresAt":"..."}}`, as ack and pong bring it. */
  schedule(payload: unknown): void;
  stop(): void;
}

export function openRenewal(token: Token | undefined, send: (message: unknown) => void): Renewal {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const renew = async (): Promise<void> => {
    // A failure to get credentials shows when the socket is closed for it.
    const credentials = await readToken(token).catch(() => undefined);
    if (credentials !== undefined) send({ type: "ping", payload: { authorization: `Bearer ${credentials}` } });
  };
  return {
    schedule: (payload) => {
      const expiresAtMs = expiryIn(payload);
      if (typeof token !== "function" || expiresAtMs === undefined) return;
      const leftMs = expiresAtMs - Date.now();
      clearTimeout(timer);
      timer = setTimeout(() => void renew(), Math.min(MAX_TIMER_MS, Math.max(leftMs / 2, leftMs - RENEW_BEFORE_MS)));
    },
    stop: () => {
      clearTimeout(timer);
    },
  };
}

function expiryIn(payload: unknown): number | undefined {
  const expiresAt = recordOf(recordOf(payload)?.["authorization"])?.["expiresAt"];
  const ms = typeof expiresAt === "string" ? Date.parse(expiresAt) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
