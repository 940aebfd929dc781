import { setTimeout as pause } from "node:timers/promises";
import { egressFetch } from "@sba/platform/egress";
import { AppError } from "@sba/platform/errors";
import { errors } from "../errors.ts";
import { signatureHeaders } from "./signature.ts";

/** Sends one payload to an endpoint, and says of what went wrong only what is certain. */

export interface DeliveryTarget {
  readonly url: string;
  readonly secret: string;
  /** Without it, what may have done something is not repeated. */
  readonly honoursIdempotencyKeys: boolean;
}

export interface DeliveryRequest {
  /** Its idempotency key. */
  readonly id: string;
  readonly payload: unknown;
  readonly signal: AbortSignal;
}

export interface DeliveryAnswer {
  /** 200 to 299. */
  readonly status: number;
  /** The beginning of what the endpoint answered. */
  readonly response: string;
}

const ATTEMPTS = 3;
const BACKOFF_MS = 250;
const LIMITS = { timeoutMs: 8_000, maxBytes: 1024 * 1024 };
const MAX_RESPONSE_LENGTH = 4_000;

/**
 * Posts the payload as JSON, up to three times while repeats do no harm and may help.
 * @throws EGRESS_REFUSED, INTEGRATIONS_WEBHOOK_UNREACHABLE, INTEGRATIONS_WEBHOOK_REFUSED when it certainly did nothing
 * @throws INTEGRATIONS_TOOL_OUTCOME_UNKNOWN when it may have
 */
export async function deliver(target: DeliveryTarget, request: DeliveryRequest): Promise<DeliveryAnswer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await post(target, request).catch(failureOf);
    if (!(answer instanceof AppError)) return answer;
    if (attempt >= ATTEMPTS || !mayRepeat(target, answer)) throw answer;
    await pause(BACKOFF_MS * 2 ** (attempt - 1), undefined, { signal: request.signal });
  }
}

async function post(
  { url, secret }: DeliveryTarget,
  { id, payload, signal }: DeliveryRequest,
): Promise<DeliveryAnswer> {
  const body = JSON.stringify(payload);
  const headers = {
    "content-type": "application/json",
    "idempotency-key": id,
    ...signatureHeaders(secret, { id, body, sentAt: new Date() }),
  };
  const response = await egressFetch(url, { method: "POST", headers, body, signal }, LIMITS);
  // The status is the answer; a body that breaks off takes nothing from it.
  const text = await response.text().catch(() => "");
  if (response.ok) return { status: response.status, response: storable(text) };
  const details = { status: response.status };
  throw isRefusal(response.status)
    ? errors.INTEGRATIONS_WEBHOOK_REFUSED({
        message: `The webhook endpoint answered with status ${response.status}.`,
        details,
        retryable: isLater(response.status),
      })
    : errors.INTEGRATIONS_TOOL_OUTCOME_UNKNOWN({ details });
}

/** What jsonb can hold of a stranger's text. */
function storable(text: string): string {
  return text.replaceAll("\0", "").slice(0, MAX_RESPONSE_LENGTH).toWellFormed();
}

/** A server that fails or a proxy that lost patience says nothing about what was done; these say that nothing was. */
function isRefusal(status: number): boolean {
  return (status < 500 && status !== 408) || [501, 503, 505].includes(status);
}

function isLater(status: number): boolean {
  return status === 429 || status === 503;
}

function mayRepeat({ honoursIdempotencyKeys }: DeliveryTarget, { code, retryable }: AppError): boolean {
  return code === "INTEGRATIONS_TOOL_OUTCOME_UNKNOWN" ? honoursIdempotencyKeys : retryable;
}

/** Our own errors of an attempt; what else is thrown (an abort) passes. */
function failureOf(error: unknown): AppError {
  if (!(error instanceof AppError)) throw error;
  switch (error.code) {
    case "EGRESS_FAILED":
      return wasNeverConnected(error)
        ? errors.INTEGRATIONS_WEBHOOK_UNREACHABLE({ cause: error })
        : errors.INTEGRATIONS_TOOL_OUTCOME_UNKNOWN({ cause: error });
    case "EGRESS_TIMED_OUT":
    case "EGRESS_TOO_LARGE":
      return errors.INTEGRATIONS_TOOL_OUTCOME_UNKNOWN({ cause: error });
    default:
      return error;
  }
}

// Of connecting and of the TLS handshake: https://nodejs.org/api/errors.html#common-system-errors, https://nodejs.org/api/tls.html#x509-certificate-error-codes
const NOT_CONNECTED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|CERT_.*|ERR_TLS_.*|DEPTH_ZERO_.*|SELF_SIGNED_.*|UNABLE_TO_.*)$/;

function wasNeverConnected(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return NOT_CONNECTED.test(code) || wasNeverConnected(error.cause);
}
