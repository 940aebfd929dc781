import type { IncomingMessage } from "node:http";
import cors from "@fastify/cors";
import type { Caller } from "@sba/platform/caller";
import { platformErrors } from "@sba/platform/errors";
import { mountHealth } from "@sba/platform/health";
import { answerUnreadable, sendHttpError } from "@sba/platform/http-errors";
import { newId } from "@sba/platform/ids";
import { parseJson } from "@sba/platform/plain-request";
import { abortedWhenGone, mountRoutes, ROUTER_OPTIONS, type Identify, type Route } from "@sba/platform/routes";
import { GRAPHQL_PATH } from "@sba/platform/server";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Authenticator } from "./authenticate.ts";
import { errors } from "./errors.ts";
import { explorerPage, indexPage, type Page } from "./explorer.ts";
import type { SubgraphLink } from "./forward.ts";
import { mountConsole, type ConsoleFiles } from "./console.ts";
import { clientOf } from "./metrics.ts";
import type { Operations } from "./operations.ts";
import { requireOrigin, type Origins } from "./origins.ts";
import { mountGraphiql } from "./graphiql.ts";
import type { Limits } from "./limits.ts";
import type { Tolls } from "./tolls.ts";

/** The gateway's HTTP: one server for GraphQL, the domains' routes, health and the pages. */

export interface HttpOptions {
  readonly operations: Operations;
  readonly authenticator: Authenticator;
  readonly tolls: Tolls;
  readonly links: readonly SubgraphLink[];
  readonly limits: Limits;
  readonly development: boolean;
  readonly origins: Origins;
  /** The hash of the supergraph that is served now. */
  readonly apiVersion: () => string;
  readonly trustedProxies: readonly string[];
  readonly isReady: () => Promise<boolean>;
  /** What `/` shows; without it a page that says what is here. */
  readonly console: ConsoleFiles | undefined;
}

// A client's own id is taken when it is one that logs can carry.
const REQUEST_ID = /^[\w.-]{8,128}$/;
/** Until all of a body is there; files may take as long as 32 MiB do at 300 kbit/s. */
const BODY_TIMEOUT_MS = 60_000;
const FILE_TIMEOUT_MS = 15 * 60_000;
const NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'";

export async function createHttp(options: HttpOptions): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: options.limits.maxBodyBytes,
    requestTimeout: FILE_TIMEOUT_MS,
    forceCloseConnections: "idle",
    routerOptions: ROUTER_OPTIONS,
    trustProxy: options.trustedProxies.length > 0 ? [...options.trustedProxies] : false,
    // Any other protocol that a client offers to go over to, such as h2c, is not gone over to (RFC 9110, 7.8).
    http: { shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket" },
    clientErrorHandler: answerUnreadable,
    frameworkErrors: (error, request, reply) => {
      sendHttpError(reply.header("x-request-id", request.id), error, request.id);
    },
    genReqId: requestIdOf,
    requestIdHeader: false,
  });
  const headersOfAll = securityHeaders(options.development);
  app.addHook("onRequest", (request, reply, done) => {
    limitArrival(request, BODY_TIMEOUT_MS);
    reply.headers(headersOfAll).header("x-request-id", request.id).header("x-api-version", options.apiVersion());
    done();
  });
  app.setErrorHandler((error, request, reply) => sendHttpError(reply, error, request.id));
  app.setNotFoundHandler((request, reply) =>
    // Somebody who mistyped an address is shown where they are, and the way back.
    options.console && wantsHtml(request)
      ? options.console.sendPage(reply.code(404))
      : sendHttpError(reply, platformErrors.ROUTE_NOT_FOUND(), request.id),
  );
  // Of a preflight it is not known who asks.
  const mayCall = async (origin: string): Promise<boolean> => options.origins.isAllowed({ origin, host: undefined });
  await app.register(cors, {
    // Who sends none is no browser, and waits for nobody.
    origin: (origin, tell) => (origin === undefined ? tell(null, false) : mayCall(origin)),
    methods: ["GET", "HEAD", "POST", "PUT"],
    allowedHeaders: [
      "authorization",
      "content-type",
      "x-request-id",
      "apollo-require-preflight",
      "x-apollo-operation-name",
      "apollographql-client-name",
      "apollographql-client-version",
      "last-event-id",
    ],
    exposedHeaders: ["x-request-id", "x-api-version", "retry-after", "ratelimit", "ratelimit-policy"],
    maxAge: 600,
  });
  mountPages(app, options);
  mountGraphql(app, options);
  for (const { routes } of options.links) await mountRoutes(app, routes, (route) => identifyFor(route, options));
  return app;
}

/** Node's own limit is the same for every request. Files (PUT) keep it; whatever else takes longer than this to arrive is cut off. */
export function limitArrival({ method, headers, raw }: FastifyRequest, timeoutMs: number): void {
  const hasBody = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  if (method === "PUT" || !hasBody) return;
  const timer = setTimeout(() => {
    if (!raw.complete) raw.destroy();
  }, timeoutMs).unref();
  raw.once("close", () => {
    clearTimeout(timer);
  });
}

export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers["x-request-id"];
  return typeof given === "string" && REQUEST_ID.test(given) ? given : newId();
}

function securityHeaders(development: boolean): Record<string, string> {
  return {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": NO_CONTENT_POLICY,
    ...(development ? {} : { "strict-transport-security": "max-age=31536000; includeSubDomains" }),
  };
}

function sendPage(reply: FastifyReply, { html, contentSecurityPolicy }: Page): FastifyReply {
  return reply.header("content-security-policy", contentSecurityPolicy).type("text/html; charset=utf-8").send(html);
}

function mountPages(app: FastifyInstance, { development, isReady, console }: HttpOptions): void {
  if (console) mountConsole(app, console);
  else app.get("/", (_request, reply) => sendPage(reply, indexPage({ explorer: development })));
  mountGraphiql(app, { alone: development, hosted: console !== undefined });
  mountHealth(app, isReady);
}

declare module "fastify" {
  interface FastifyRequest {
    /** Who asks for GraphQL, if they have said so. */
    caller?: Caller | undefined;
    /** Of a large body of GraphQL, until it is answered; else 0. */
    heldBytes: number;
  }
}

/** Credentials are judged before the body is read: a stranger's large body is not taken in. */
function mountGraphql(app: FastifyInstance, options: HttpOptions): void {
  const { operations, limits, development } = options;
  // A property: an entry in a WeakMap for each request is work for the garbage collector.
  app.decorateRequest("caller");
  app.decorateRequest("heldBytes", 0);
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    const bodies = openBodyReader(limits.maxBodyBytesUnderWay);
    scope.addContentTypeParser("application/json", (request: FastifyRequest, payload: IncomingMessage) =>
      bodies.read(request, payload, request.caller ? limits.maxBodyBytes : limits.maxAnonymousBodyBytes),
    );
    // Anything else is Apollo Server's to refuse, unread.
    scope.addContentTypeParser("*", (_request, _payload, parsed) => {
      parsed(null);
    });
    scope.addHook("onRequest", async (request) => {
      request.caller = await callerOf(request, options);
    });
    scope.route({
      method: ["GET", "POST"],
      url: GRAPHQL_PATH,
      handler: (request, reply) => {
        if (development && wantsPage(request)) return sendPage(reply, explorerPage());
        const answered = answerGraphql(operations, request, reply, request.caller);
        return request.heldBytes === 0 ? answered : answered.finally(() => bodies.release(request));
      },
    });
    done();
  });
}

type CallerOptions = Pick<HttpOptions, "authenticator" | "origins" | "tolls">;

/**
 * @throws CREDENTIALS_INVALID, CREDENTIALS_EXPIRED for a header that is there and not good: nobody falls back to being a stranger
 * @throws RATE_LIMITED when too many from the same address were not good
 * @throws ORIGIN_NOT_ALLOWED when it comes from a page that the caller's tenant does not allow
 */
async function callerOf(
  request: FastifyRequest,
  { authenticator, origins, tolls }: CallerOptions,
): Promise<Caller | undefined> {
  const { authorization, origin, host } = request.headers;
  if (authorization === undefined)
    return authenticator.anonymous && { ...authenticator.anonymous, requestId: request.id };
  const refusal = tolls.refusalOf(request.ip);
  if (refusal) throw refusal;
  try {
    const caller = { ...(await authenticator.authenticate(authorization)), requestId: request.id };
    // Who sends none is no browser.
    if (origin !== undefined) await requireOrigin(origins, { origin, host }, caller.tenantId);
    return caller;
  } catch (error) {
    throw await tolls.fail(request.ip, error);
  }
}

function identifyFor(route: Route, options: CallerOptions): Identify {
  if (!route.authenticated) return (request) => Promise.resolve({ caller: undefined, requestId: request.id });
  return async (request) => {
    const caller = await callerOf(request, options);
    if (!caller) throw platformErrors.CREDENTIALS_MISSING();
    return { caller, requestId: request.id };
  };
}

function wantsPage(request: FastifyRequest): boolean {
  return wantsHtml(request) && !request.url.includes("query=");
}

/** As browsers ask for what somebody goes to. */
function wantsHtml({ method, headers }: FastifyRequest): boolean {
  return method === "GET" && (headers.accept ?? "").includes("text/html");
}

async function answerGraphql(
  operations: Operations,
  request: FastifyRequest,
  reply: FastifyReply,
  caller: Caller | undefined,
): Promise<FastifyReply> {
  const { method, url, headers, body } = request;
  const answer = await operations.answerHttp(
    { method, url, headers, body },
    {
      caller,
      requestId: request.id,
      signal: abortedWhenGone(reply),
      address: request.ip,
      client: clientOf((name) => headers[name]),
    },
  );
  return reply.code(answer.status).headers(answer.headers).send(answer.body);
}

const RETRY_BODY_MS = 1_000;

/** A larger body counts until its operation has been answered: so long its variables are kept. */
const LARGE_BODY_BYTES = 64 * 1024;

/**
 * Reads JSON bodies, a bounded number of bytes at once: a few clients that send the largest there may be must not take the
 * memory that all tenants share. Operations that go on keep no small body waiting: only those being read stand in its way.
 */
function openBodyReader(maxBytesUnderWay: number) {
  let bytesRead = 0;
  let bytesHeld = 0;
  return {
    /** @throws PAYLOAD_TOO_LARGE, BODIES_UNDER_WAY, INPUT_INVALID */
    read: async (request: FastifyRequest, payload: IncomingMessage, limitBytes: number): Promise<unknown> => {
      let size = 0;
      const grow = (bytes: number): void => {
        size += bytes;
        bytesRead += bytes;
        if (size > limitBytes) throw bodyTooLarge(limitBytes);
        const bytesUnderWay = size > LARGE_BODY_BYTES ? bytesRead + bytesHeld : bytesRead;
        if (bytesUnderWay > maxBytesUnderWay) throw errors.BODIES_UNDER_WAY({ retryAfterMs: RETRY_BODY_MS });
      };
      if (Number(payload.headers["content-length"] ?? 0) > limitBytes) throw bodyTooLarge(limitBytes);
      try {
        const body = parseJson((await readAll(payload, grow)).toString("utf8"));
        if (size > LARGE_BODY_BYTES) {
          request.heldBytes = size;
          bytesHeld += size;
        }
        return body;
      } finally {
        bytesRead -= size;
      }
    },
    /** Of a body whose operation has been answered. */
    release: (request: FastifyRequest): void => {
      bytesHeld -= request.heldBytes;
      request.heldBytes = 0;
    },
  };
}

/** By events: an iterator of a stream costs as much as all else that is done to a body of the usual size. @throws what `grow` throws */
function readAll(payload: IncomingMessage, grow: (bytes: number) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const take = (chunk: Buffer): void => {
      try {
        grow(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        // The rest is not kept. Cut off, who sends it would not hear why.
        payload.off("data", take).resume();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    payload.on("data", take);
    payload.once("end", () => {
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    const left = (): void => {
      if (!payload.readableEnded) reject(platformErrors.OPERATION_CANCELLED());
    };
    payload.once("error", left);
    payload.once("close", left);
  });
}

function bodyTooLarge(limitBytes: number) {
  return platformErrors.PAYLOAD_TOO_LARGE({
    message: `A request may have at most ${limitBytes} bytes.`,
    details: { limitBytes },
  });
}
