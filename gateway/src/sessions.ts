import { AppError, ensureAppError, platformErrors } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import type { Standing } from "@sba/platform/rate-limit";
import type { Authenticated, Authenticator } from "./authenticate.ts";
import { errors } from "./errors.ts";
import { isConcerned } from "./grants.ts";
import type { Client } from "./metrics.ts";
import { requireOrigin, type Origins, type Page } from "./origins.ts";
import { retryAfterMs, type Quotas } from "./quotas.ts";
import type { Tolls } from "./tolls.ts";

/**
 * Who is connected, by socket or event stream: never longer than the credentials hold, and its streams never show more than
 * they allow. What may be lost is asked again when identity says so, and every now and then.
 */

export interface Session {
  /** As the client sent it: asked again when its owner may have lost something. */
  authorization: string;
  principal: Authenticated;
  readonly address: string;
  /** Where its socket or stream was opened. */
  readonly page: Page;
  readonly client: Client;
  readonly streams: Set<ActiveStream>;
  /** Ends the connection. */
  readonly end: (why: SessionEnd) => void;
  expiry: NodeJS.Timeout | undefined;
}

/** `elsewhere`: the tenant does not allow the page's origin any more. */
export type SessionEnd = "expired" | "refused" | "elsewhere";

/** What a session that ends is told. */
export function endOf(why: SessionEnd): AppError {
  if (why === "elsewhere") return errors.ORIGIN_NOT_ALLOWED();
  return why === "expired" ? platformErrors.CREDENTIALS_EXPIRED() : platformErrors.CREDENTIALS_INVALID();
}

/** One subscription of a session. */
export interface ActiveStream {
  /** Plans it anew for who the session is now, on the graph of now; it goes on from its cursor, or ends with why it cannot. */
  replan(): void;
  /** Ends it without a word to the client. */
  leave(): void;
}

export interface SessionsOptions {
  readonly authenticator: Authenticator;
  readonly origins: Origins;
  readonly quotas: Quotas;
  readonly tolls: Tolls;
  /** How often every session's rights are looked at again, for the revocation that was not heard. */
  readonly recheckMs?: number | undefined;
}

interface Entry {
  readonly session: Session | AppError;
  /** Of the limits that it was counted against. */
  readonly standings: readonly Standing[];
}

export interface Sessions {
  readonly size: number;
  /** Lets somebody in, or says why not: unauthenticated, permission_denied (the page), rate_limited, or unavailable when nobody can say. */
  admit(authorization: unknown, connection: Pick<Session, "address" | "page" | "client" | "end">): Promise<Entry>;
  /** New credentials of the same principal; false for anyone else's. @returns "unavailable" when nobody can say: the old ones still hold. */
  renew(session: Session, authorization: unknown): Promise<boolean | "unavailable">;
  leave(session: Session): void;
  /** Plans every stream anew, for who its owner is known to be (`judged`), or after that has been asked again. */
  replan(how: { readonly judged: boolean }): void;
  close(): void;
}

const RECHECK_MS = 15_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export function openSessions(options: SessionsOptions): Sessions {
  const { authenticator, origins, quotas, tolls } = options;
  const sessions = new Set<Session>();
  const recheck = (concerned: (principal: Authenticated) => boolean): void => {
    for (const session of sessions) if (concerned(session.principal)) void reauthorise(session, options);
  };
  const stopListening = authenticator.onRevoked((revocation) => {
    recheck((principal) => isConcerned(principal, revocation));
  });
  const timer = setInterval(() => {
    recheck(() => true);
  }, options.recheckMs ?? RECHECK_MS).unref();
  return {
    get size() {
      return sessions.size;
    },
    admit: async (authorization, connection) => {
      const principal = await identifyFrom(connection.address, authorization, options);
      if (principal instanceof AppError) return { session: principal, standings: [] };
      const misplaced = await refusalOfPage(origins, connection.page, principal);
      if (misplaced) return { session: misplaced, standings: [] };
      const { refusal, standings } = await tolls.connect({ caller: principal });
      if (refusal) return { session: refusal, standings };
      if (!quotas.connections.takeFor(principal))
        return { session: errors.CONNECTIONS_TOO_MANY({ retryAfterMs: retryAfterMs() }), standings };
      const session: Session = {
        ...connection,
        authorization: String(authorization),
        principal,
        streams: new Set(),
        expiry: undefined,
      };
      expireAt(session, principal.expiresAtMs);
      sessions.add(session);
      // What was revoked while it was counted has been told to the others.
      void reauthorise(session, options);
      return { session, standings };
    },
    renew: (session, authorization) => renew(session, authorization, authenticator),
    leave: (session) => {
      if (!sessions.delete(session)) return;
      clearTimeout(session.expiry);
      for (const stream of session.streams) stream.leave();
      quotas.connections.giveFor(session.principal);
    },
    replan: ({ judged }) => {
      for (const session of sessions)
        if (judged) planAnew(session);
        else
          void reauthorise(session, options).finally(() => {
            planAnew(session);
          });
    },
    close: () => {
      clearInterval(timer);
      stopListening();
    },
  };
}

/** Who it is; or that the credentials are not good (unauthenticated), or that nobody can say (anything else). */
async function identify(authorization: unknown, authenticator: Authenticator): Promise<Authenticated | AppError> {
  if (typeof authorization !== "string") return authenticator.anonymous ?? platformErrors.CREDENTIALS_MISSING();
  try {
    return await authenticator.authenticate(authorization);
  } catch (error) {
    const refusal = ensureAppError(error);
    if (refusal.kind === "unauthenticated") return refusal;
    logger.warn({ err: error }, "credentials of a connection could not be checked");
    return platformErrors.SUBGRAPH_UNAVAILABLE({ cause: error });
  }
}

/** As `identify`, for who is not known yet: what is not good counts against the address. */
async function identifyFrom(
  address: string,
  authorization: unknown,
  { authenticator, tolls }: SessionsOptions,
): Promise<Authenticated | AppError> {
  const refusal = tolls.refusalOf(address);
  if (refusal) return refusal;
  const principal = await identify(authorization, authenticator);
  return principal instanceof AppError ? tolls.fail(address, principal) : principal;
}

function expireAt(session: Session, atMs: number | undefined): void {
  clearTimeout(session.expiry);
  if (atMs === undefined) return;
  session.expiry = setTimeout(
    () => {
      if (atMs > Date.now()) expireAt(session, atMs);
      else session.end("expired");
    },
    Math.min(Math.max(0, atMs - Date.now()), MAX_TIMER_MS),
  );
}

async function renew(
  session: Session,
  authorization: unknown,
  authenticator: Authenticator,
): Promise<boolean | "unavailable"> {
  const now = await identify(authorization, authenticator);
  if (now instanceof AppError && now.kind === "unavailable") return "unavailable";
  const { principal: before } = session;
  if (now instanceof AppError || now.principalId !== before.principalId || now.tenantId !== before.tenantId)
    return false;
  take(session, String(authorization), now);
  return true;
}

/** Asks again what a session's owner may do, and takes from its streams what it may no longer see. */
async function reauthorise(session: Session, { authenticator, origins }: SessionsOptions): Promise<void> {
  const { authorization, page, principal } = session;
  const misplaced = await refusalOfPage(origins, page, principal);
  if (misplaced?.kind === "permission_denied") {
    session.end("elsewhere");
    return;
  }
  const now = await identify(authorization, authenticator);
  if (session.authorization !== authorization) return;
  if (!(now instanceof AppError)) take(session, authorization, now);
  else if (now.kind === "unauthenticated") session.end("refused");
}

async function refusalOfPage(origins: Origins, page: Page, { tenantId }: Authenticated): Promise<AppError | undefined> {
  try {
    await requireOrigin(origins, page, tenantId);
    return undefined;
  } catch (error) {
    return ensureAppError(error);
  }
}

function take(session: Session, authorization: string, now: Authenticated): void {
  const { principal: before } = session;
  session.authorization = authorization;
  session.principal = now;
  expireAt(session, now.expiresAtMs);
  if (!sameRights(before, now)) planAnew(session);
}

function planAnew({ streams }: Session): void {
  for (const stream of [...streams]) stream.replan();
}

function sameRights(a: Authenticated, b: Authenticated): boolean {
  return areEqual(a.permissions, b.permissions) && areEqual(a.policies ?? NONE, b.policies ?? NONE);
}

const NONE: ReadonlySet<string> = new Set();

function areEqual(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((each) => b.has(each));
}
