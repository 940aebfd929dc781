import { lookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { Agent, buildConnector, fetch as undiciFetch } from "undici";
import type { Config } from "./config.ts";
import { checkAddress, checkUrl, ruleFor, toRules, type EgressPolicy, type EgressRule } from "./egress-policy.ts";
import { AppError, platformErrors } from "./errors.ts";

/**
 * The one way out: a fetch that calls allowed hosts only, never an address inside the network (judged on the addresses that
 * the socket is given, so that a name cannot change its address in between), and that always ends.
 */

export type { EgressPolicy } from "./egress-policy.ts";

export interface EgressOptions extends EgressPolicy {
  /** How names become addresses; the system's resolver by default. */
  readonly resolve?: (hostname: string) => Promise<readonly string[]>;
}

export interface EgressLimits {
  /** For the whole exchange, to the last byte of the answer. Default 30 s. */
  readonly timeoutMs?: number;
  /** Without a byte from the other side. Default 15 s. */
  readonly idleTimeoutMs?: number;
  /** Of the answer's body, decompressed. Default 10 MiB. */
  readonly maxBytes?: number;
}

const DEFAULT_LIMITS = { timeoutMs: 30_000, idleTimeoutMs: 15_000, maxBytes: 10 * 1024 * 1024 };
const CONNECT_TIMEOUT_MS = 5_000;
const BODILESS_STATUS = new Set([204, 205, 304]);

interface Egress {
  readonly rules: readonly EgressRule[];
  readonly agent: Agent;
}

let current: Egress | undefined;

/** The policy that the configuration states. */
export function egressPolicyOf(config: Config): EgressPolicy {
  const trustedUrls = [config.OPENAI_BASE_URL, config.BLOB_S3_ENDPOINT].filter((url) => url !== undefined);
  return { allowedHosts: config.EGRESS_ALLOWED_HOSTS, trustedUrls };
}

/** Sets the policy of this process, once; returns how to close its connections. Throws for an entry that is no host. */
export function openEgress(options: EgressOptions): () => Promise<void> {
  if (current) throw new Error("openEgress was called twice");
  const agent = openAgent(toRules(options), options.resolve ?? resolveAll);
  current = { rules: toRules(options), agent };
  return async () => {
    current = undefined;
    await agent.destroy();
  };
}

async function resolveAll(hostname: string): Promise<string[]> {
  return (await lookup(hostname, { all: true })).map(({ address }) => address);
}

type Resolve = NonNullable<EgressOptions["resolve"]>;

function openAgent(rules: readonly EgressRule[], resolve: Resolve): Agent {
  return new Agent({ connect: guardedConnector(rules, resolve) });
}

/** Every connection comes through here, whatever led to it. */
function guardedConnector(rules: readonly EgressRule[], resolve: Resolve): buildConnector.connector {
  return (options, callback) => {
    try {
      const port = Number(options.port) || (options.protocol === "https:" ? 443 : 80);
      const rule = ruleFor(rules, options.hostname, port);
      const host = options.hostname.replace(/^\[|\]$/g, "");
      // An address in place of a name is not looked up, so it is judged here.
      if (isIP(host) !== 0) checkAddress(rule, host);
      buildConnector({ timeout: CONNECT_TIMEOUT_MS, lookup: guardedLookup(rule, resolve) })(options, callback);
    } catch (error) {
      callback(error instanceof Error ? error : new Error(String(error)), null);
    }
  };
}

/** Resolves a name and judges all its addresses: one that is not allowed among them is a trick, and refuses the name. */
function guardedLookup(rule: EgressRule, resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    const answer = async (): Promise<{ address: string; family: number }[]> => {
      const addresses = await resolve(hostname);
      for (const address of addresses) checkAddress(rule, address);
      return addresses.map((address) => ({ address, family: isIP(address) }));
    };
    answer().then(
      (addresses) => {
        const [first] = addresses;
        if (!first) callback(new Error(`${hostname} has no address`), "");
        else if (options.all) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (error: Error) => {
        callback(error, "");
      },
    );
  };
}

/**
 * As `fetch`, of an absolute URL. Redirects are not followed: whoever needs the new place names it, and it is judged anew.
 * @throws EGRESS_REFUSED for what the policy does not allow, and for a redirect.
 * @throws EGRESS_TIMED_OUT EGRESS_TOO_LARGE also from the body, while it is read.
 * @throws EGRESS_FAILED when the other side cannot be reached or breaks off. The caller's own abort passes as it is.
 */
export async function egressFetch(
  url: string | URL,
  init: RequestInit = {},
  limits: EgressLimits = {},
): Promise<Response> {
  const { agent } = opened();
  const target = allowedUrl(url);
  const exchange = openExchange({ ...DEFAULT_LIMITS, ...limits }, init.signal ?? undefined);
  try {
    const request = { ...init, signal: exchange.signal, redirect: "manual", dispatcher: agent };
    const response = (await undiciFetch(target, request as Parameters<typeof undiciFetch>[1])) as unknown as Response;
    return await toResponse(response, exchange);
  } catch (error) {
    exchange.end();
    throw exchange.explain(error);
  }
}

/** `egressFetch` with these limits, for libraries that take a `fetch`. */
export function limitedFetch(limits: EgressLimits): typeof globalThis.fetch {
  return (input, init) => {
    if (input instanceof Request) return Promise.reject(new TypeError("egressFetch takes a URL, not a Request"));
    return egressFetch(input, init, limits);
  };
}

/**
 * The URL, if the policy of this process allows its host; which address it has is judged when it is called.
 * @throws EGRESS_REFUSED
 */
export function allowedUrl(url: string | URL): URL {
  if (!URL.canParse(url)) throw platformErrors.EGRESS_REFUSED({ message: "This is not an absolute URL." });
  const target = new URL(url);
  checkUrl(opened().rules, target);
  return target;
}

function opened(): Egress {
  if (!current) throw new Error("openEgress was not called");
  return current;
}

/** One request and its answer: what may end it, and why it did. */
interface Exchange {
  readonly limits: Required<EgressLimits>;
  readonly signal: AbortSignal;
  /** A byte came: the other side is alive. */
  alive(): void;
  fail(error: AppError): void;
  end(): void;
  /** What to throw for an error of the network library. */
  explain(error: unknown): unknown;
}

function openExchange(limits: Required<EgressLimits>, callerSignal: AbortSignal | undefined): Exchange {
  const controller = new AbortController();
  const timeOut = (what: string, timeoutMs: number) =>
    setTimeout(() => {
      controller.abort(platformErrors.EGRESS_TIMED_OUT({ details: { [what]: timeoutMs } }));
    }, timeoutMs).unref();
  const total = timeOut("timeoutMs", limits.timeoutMs);
  const idle = timeOut("idleTimeoutMs", limits.idleTimeoutMs);
  const signal = callerSignal ? AbortSignal.any([controller.signal, callerSignal]) : controller.signal;
  return {
    limits,
    signal,
    alive: () => {
      idle.refresh();
    },
    fail: (error) => {
      controller.abort(error);
    },
    end: () => {
      clearTimeout(total);
      clearTimeout(idle);
    },
    explain: (error) => {
      if (signal.aborted) return signal.reason as unknown;
      return findAppError(error) ?? platformErrors.EGRESS_FAILED({ cause: error });
    },
  };
}

/** What the connector refused arrives as the cause of the library's `fetch failed`. */
function findAppError(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  return error instanceof Error && error.cause !== undefined ? findAppError(error.cause) : undefined;
}

async function toResponse(response: Response, exchange: Exchange): Promise<Response> {
  const { status, statusText, headers } = response;
  if (status >= 300 && status < 400 && headers.has("location")) {
    await response.body?.cancel();
    throw platformErrors.EGRESS_REFUSED({ message: "A redirect is not followed.", details: { status } });
  }
  if (Number(headers.get("content-length")) > exchange.limits.maxBytes) {
    await response.body?.cancel();
    throw tooLarge(exchange.limits.maxBytes);
  }
  exchange.alive();
  const init = { status, statusText, headers: [...headers] as [string, string][] };
  if (response.body === null || BODILESS_STATUS.has(status)) {
    exchange.end();
    return new Response(null, init);
  }
  return new Response(limitBody(response.body, exchange), init);
}

function tooLarge(maxBytes: number): AppError {
  return platformErrors.EGRESS_TOO_LARGE({ details: { maxBytes } });
}

/** The body as it comes, counted; at the limit the connection is closed, whatever else it would have sent. */
function limitBody(body: ReadableStream<Uint8Array>, exchange: Exchange): ReadableStream<Uint8Array> {
  const source = body.getReader();
  const { maxBytes } = exchange.limits;
  let received = 0;
  return new ReadableStream<Uint8Array>({
    async pull(sink) {
      try {
        const { done, value } = await source.read();
        exchange.alive();
        received += value?.byteLength ?? 0;
        if (received > maxBytes) exchange.fail(tooLarge(maxBytes));
        exchange.signal.throwIfAborted();
        if (!done) {
          sink.enqueue(value);
          return;
        }
        exchange.end();
        sink.close();
      } catch (error) {
        exchange.end();
        sink.error(exchange.explain(error));
      }
    },
    async cancel(reason) {
      exchange.end();
      await source.cancel(reason);
    },
  });
}
