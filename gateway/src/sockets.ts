import type { Server as HttpServer } from "node:http";
import type { Caller } from "@sba/platform/caller";
import { AppError } from "@sba/platform/errors";
import { OperationFailed } from "@sba/platform/execute";
import {
  serveGraphqlSocket,
  shownErrors,
  type GraphqlSocketServer,
  type SocketExtra,
} from "@sba/platform/graphql-socket";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { GRAPHQL_PATH } from "@sba/platform/server";
import { GraphQLError, OperationTypeNode, type ExecutionArgs, type ExecutionResult } from "graphql";
import { CloseCode, type SubscribePayload } from "graphql-ws";
import type { Operations } from "./apollo.ts";
import type { Authenticated, Authenticator } from "./authenticate.ts";
import { operationIn, type DocumentSource, type KnownDocument } from "./documents.ts";
import { findRefusal } from "./enforce.ts";
import { errors, presentGatewayError, toShownError } from "./errors.ts";
import type { FanOut, Subscriber } from "./fan-out.ts";
import type { SubgraphLinks } from "./forward.ts";
import type { Graph } from "./graph.ts";
import type { Limits } from "./limits.ts";
import { openQueue } from "./queue.ts";
import { prepareStream } from "./subscriptions.ts";

/**
 * The gateway's sockets: credentials come in `connection_init` and are renewed by a ping; a socket is never open longer
 * than they hold, and its streams never show more than they allow.
 */

export interface SocketOptions {
  readonly graph: Graph;
  readonly subgraphs: SubgraphLinks;
  readonly operations: Operations;
  readonly documents: DocumentSource;
  readonly fanOut: FanOut;
  readonly authenticator: Authenticator;
  readonly limits: Limits;
  readonly keepAliveMs?: number;
  readonly initTimeoutMs?: number;
  /** How often every open socket's rights are looked at again, for the revocation that was not heard. */
  readonly recheckMs?: number;
}

interface Session extends SocketExtra {
  /** As the client sent it: asked again when its owner may have lost something. */
  authorization: string | undefined;
  principal: Authenticated | undefined;
  expiry: NodeJS.Timeout | undefined;
  readonly streams: Set<ActiveStream>;
}

/** One subscription of a socket, as it was asked for. */
interface ActiveStream {
  readonly known: KnownDocument;
  readonly payload: SubscribePayload;
  readonly subscriber: Subscriber;
}

const KEEP_ALIVE_MS = 10_000;
const INIT_TIMEOUT_MS = 3_000;
const RECHECK_MS = 15_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export function serveSockets(server: HttpServer, options: SocketOptions): GraphqlSocketServer {
  const sessions = new Set<Session>();
  const recheck = (concerned: (principal: Authenticated) => boolean): void => {
    for (const session of sessions)
      if (session.principal && concerned(session.principal)) void reauthorise(session, options);
  };
  const stopListening = options.authenticator.onRevoked((principalId) => {
    recheck((principal) => principalId === undefined || principal.principalId === principalId);
  });
  const timer = setInterval(() => {
    recheck(() => true);
  }, options.recheckMs ?? RECHECK_MS);
  timer.unref();
  const sockets = serveGraphqlSocket<Session>(server, {
    path: GRAPHQL_PATH,
    maxMessageBytes: options.limits.maxMessageBytes,
    keepAliveMs: options.keepAliveMs ?? KEEP_ALIVE_MS,
    open: (extra) => {
      const session: Session = {
        ...extra,
        authorization: undefined,
        principal: undefined,
        expiry: undefined,
        streams: new Set(),
      };
      sessions.add(session);
      return session;
    },
    answerPing: (session, payload) => renew(session, payload, options),
    protocol: {
      connectionInitWaitTimeout: options.initTimeoutMs ?? INIT_TIMEOUT_MS,
      onConnect: ({ connectionParams, extra }) => admit(extra, connectionParams?.["authorization"], options),
      onSubscribe: ({ extra, subscriptions }, _id, payload) =>
        tooMany(subscriptions, options.limits) ?? prepareOperation(extra, payload, options),
      execute: ({ contextValue }) => start(contextValue as Prepared),
      subscribe: ({ contextValue }) => start(contextValue as Prepared),
      onError: (_context, _id, _payload, problems) => problems.flatMap(shownErrors),
      onClose: ({ extra }) => {
        clearTimeout(extra.expiry);
        sessions.delete(extra);
      },
    },
  });
  return {
    get size() {
      return sockets.size;
    },
    close: async (code, reason) => {
      clearInterval(timer);
      stopListening();
      await sockets.close(code, reason);
    },
  };
}

/** Lets a socket in, or closes it with 4401. graphql-ws itself would say 4403, which its clients try again for ever. */
async function admit(
  session: Session,
  authorization: unknown,
  options: SocketOptions,
): Promise<Record<string, unknown> | false> {
  const principal = typeof authorization === "string" ? await identify(authorization, options) : undefined;
  if (!principal || typeof authorization !== "string") {
    session.socket.close(CloseCode.Unauthorized, "Unauthorized");
    return false;
  }
  if (principal === "unavailable") {
    session.socket.close(CLOSE_TRY_AGAIN, "Try again later");
    return false;
  }
  take(session, authorization, principal);
  return { authorization: expiryOf(principal) };
}

/** Try again later (https://www.iana.org/assignments/websocket). */
const CLOSE_TRY_AGAIN = 1013;

/** Undefined for credentials that are not good; "unavailable" when nobody can say. */
async function identify(
  authorization: string,
  { authenticator }: SocketOptions,
): Promise<Authenticated | "unavailable" | undefined> {
  try {
    return await authenticator.authenticate(authorization);
  } catch (error) {
    if (error instanceof AppError && error.kind === "unauthenticated") return undefined;
    logger.warn({ err: error }, "credentials of a socket could not be checked");
    return "unavailable";
  }
}

function take(session: Session, authorization: string, principal: Authenticated): void {
  session.authorization = authorization;
  session.principal = principal;
  expireAt(session, principal.expiresAtMs);
}

function expireAt(session: Session, atMs: number | undefined): void {
  clearTimeout(session.expiry);
  if (atMs === undefined) return;
  session.expiry = setTimeout(
    () => {
      if (atMs > Date.now()) expireAt(session, atMs);
      else session.socket.close(CloseCode.Unauthorized, "Credentials expired");
    },
    Math.min(Math.max(0, atMs - Date.now()), MAX_TIMER_MS),
  );
}

function expiryOf({ expiresAtMs }: Authenticated): { expiresAt: string | null } {
  return { expiresAt: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString() };
}

type PingPayload = Readonly<Record<string, unknown>> | undefined;

/** A ping with credentials renews the socket's; any other ping comes back as it is. */
async function renew(
  session: Session,
  payload: PingPayload,
  options: SocketOptions,
): Promise<Record<string, unknown> | undefined> {
  if (!payload || !("authorization" in payload)) return payload;
  const before = session.principal;
  const { authorization } = payload;
  const now = before && typeof authorization === "string" ? await identify(authorization, options) : undefined;
  // The old credentials still hold: the client tries again before they end.
  if (now === "unavailable") return {};
  if (
    !before ||
    !now ||
    typeof authorization !== "string" ||
    now.principalId !== before.principalId ||
    now.tenantId !== before.tenantId
  ) {
    session.socket.close(CloseCode.Unauthorized, "Unauthorized");
    return undefined;
  }
  take(session, authorization, now);
  adjustStreams(session, before, options);
  return { authorization: expiryOf(now) };
}

/** Asks again what a socket's owner may do, and takes from its streams what it may no longer see. */
async function reauthorise(session: Session, options: SocketOptions): Promise<void> {
  const { authorization, principal: before } = session;
  if (authorization === undefined || !before) return;
  const now = await identify(authorization, options);
  if (now === "unavailable" || session.authorization !== authorization) return;
  if (!now) {
    session.socket.close(CloseCode.Unauthorized, "Unauthorized");
    return;
  }
  take(session, authorization, now);
  adjustStreams(session, before, options);
}

function adjustStreams(session: Session, before: Authenticated, options: SocketOptions): void {
  const { principal } = session;
  if (!principal || samePermissions(before, principal)) return;
  for (const { known, payload, subscriber } of session.streams) {
    const caller = callerOf(principal);
    const refusal = refusalOf(options.graph, known, payload, caller);
    if (refusal) subscriber.fail(new OperationFailed([refusal]));
    else subscriber.retarget(streamOf(options, known, payload, caller).source);
  }
}

function samePermissions(a: Authenticated, b: Authenticated): boolean {
  return (
    a.permissions.size === b.permissions.size && [...a.permissions].every((permission) => b.permissions.has(permission))
  );
}

function callerOf(principal: Authenticated): Caller {
  return { ...principal, requestId: newId() };
}

/** An operation of a socket, past parsing, limits, validation and enforcement. */
interface Prepared {
  readonly run: () => Promise<ExecutionResult | EventStream> | EventStream;
}

type EventStream = AsyncIterableIterator<ExecutionResult, undefined>;

/** What is thrown here would close the socket, and end its other operations: it becomes this operation's `error` message. */
async function start({ run }: Prepared): Promise<ExecutionResult | EventStream> {
  try {
    return await run();
  } catch (error) {
    const failed = openQueue<ExecutionResult>(() => undefined);
    failed.end(error instanceof OperationFailed ? error : new OperationFailed([presentGatewayError(error, undefined)]));
    return failed;
  }
}

/** The protocol counts an operation from its `subscribe` message on, this one included. */
function tooMany(
  underWay: Readonly<Record<string, unknown>>,
  { maxSocketOperations }: Limits,
): readonly GraphQLError[] | undefined {
  if (Object.keys(underWay).length <= maxSocketOperations) return undefined;
  return [toShownError(errors.SOCKET_TOO_MANY_OPERATIONS({ details: { limit: maxSocketOperations } }), newId())];
}

function prepareOperation(
  session: Session,
  payload: SubscribePayload,
  options: SocketOptions,
): ExecutionArgs | readonly GraphQLError[] {
  const { principal } = session;
  // Not reached: a socket without a principal was never acknowledged.
  if (!principal) throw new Error("an operation on a socket without a caller");
  const caller = callerOf(principal);
  const shown = (problems: readonly GraphQLError[]): readonly GraphQLError[] =>
    problems.map((problem) => presentGatewayError(problem, caller.requestId));
  const known = options.documents(options.graph, payload.query);
  if (!("document" in known)) return shown(known);
  const operation = operationIn(known.document, payload.operationName);
  if (operation instanceof GraphQLError) return shown([operation]);
  const refusal = refusalOf(options.graph, known, payload, caller);
  if (refusal) return [refusal];
  const run =
    operation.operation === OperationTypeNode.SUBSCRIPTION
      ? () => openStream(session, known, payload, caller, options)
      : () => executeOnce(session, payload, caller, options);
  return {
    schema: options.graph.schema,
    document: known.document,
    operationName: payload.operationName,
    contextValue: { run } satisfies Prepared,
  };
}

function refusalOf(
  { requirements }: Graph,
  { document }: KnownDocument,
  { operationName }: SubscribePayload,
  caller: Caller,
): GraphQLError | undefined {
  const operation = operationIn(document, operationName);
  if (operation instanceof GraphQLError) return operation;
  const refusal = findRefusal(requirements.of(document, operation), caller);
  return refusal && toShownError(refusal, caller.requestId);
}

async function executeOnce(
  session: Session,
  { query, variables, operationName }: SubscribePayload,
  caller: Caller,
  { operations }: SocketOptions,
): Promise<ExecutionResult> {
  const gone = new AbortController();
  const leave = (): void => {
    gone.abort();
  };
  session.socket.once("close", leave);
  try {
    return await operations.execute(
      { query, variables, operationName },
      { caller, requestId: caller.requestId, signal: gone.signal },
    );
  } finally {
    session.socket.off("close", leave);
  }
}

function streamOf(
  { graph, subgraphs }: SocketOptions,
  known: KnownDocument,
  { variables, operationName }: SubscribePayload,
  caller: Caller,
): ReturnType<typeof prepareStream> {
  return prepareStream(subgraphs, { graph, known, operationName, variables: variables ?? {}, caller });
}

function openStream(
  session: Session,
  known: KnownDocument,
  payload: SubscribePayload,
  caller: Caller,
  options: SocketOptions,
): EventStream {
  const { source, after } = streamOf(options, known, payload, caller);
  const subscriber = options.fanOut.subscribe(source, after);
  const stream: ActiveStream = { known, payload, subscriber };
  session.streams.add(stream);
  const leave = (): void => {
    session.streams.delete(stream);
  };
  return {
    next: async () => {
      const step = await subscriber.next().catch((error: unknown) => {
        leave();
        throw error;
      });
      if (step.done) leave();
      return step;
    },
    return: async () => {
      leave();
      await subscriber.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
