// First: graphql must not be evaluated before its switches are in place.
import { isGraphqlTraceable, traceGraphql, untraceGraphql } from "./graphql-tracing.ts";
import { setTimeout as delay } from "node:timers/promises";
import {
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type Span,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
  ParentBasedSampler,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-node";
import type { Caller } from "./caller.ts";
import { AppError } from "./errors.ts";
import { randomHex } from "./ids.ts";
import { logger } from "./log.ts";

/**
 * The door to OpenTelemetry. Every request and job runs in a span, so that its events, logs and errors share a trace id;
 * spans are recorded and sent only when there is somebody to send them to. Attributes name things (tenant, run, tool);
 * they never hold prompts, model text, tokens or messages of errors.
 */

export interface TelemetryOptions {
  readonly serviceName: string;
  /** The collector's base URL (OTLP over HTTP), as OTEL_EXPORTER_OTLP_ENDPOINT has it; nothing is sent without one. */
  readonly otlpEndpoint?: string | undefined;
}

const INSTRUMENTATION = "sba";
// https://www.w3.org/TR/trace-context/#traceparent-header-field-values
const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;
const EXPORT_TIMEOUT_MS = 5_000;
const EXPORT_DELAY_MS = 1_000;
/** What is recorded is worth this much of a drain, which has 10 s for everything. */
const STOP_TIMEOUT_MS = 2_000;

let started: NodeTracerProvider | undefined;
/** Whether spans are sent anywhere. */
let recorded = false;

/**
 * Sets tracing up for this process, once; returns how to end it (what is recorded is sent first, for at most 2 s).
 * Without an endpoint spans have ids and parents but record nothing, and graphql runs as it is.
 */
export function startTelemetry({ serviceName, otlpEndpoint }: TelemetryOptions): () => Promise<void> {
  if (started) throw new Error("startTelemetry was called twice");
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": serviceName }),
    // A parent that was not sampled by the client's own tracing is respected.
    sampler:
      otlpEndpoint === undefined ? new AlwaysOffSampler() : new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: otlpEndpoint === undefined ? [] : [withoutText, batchTo(otlpEndpoint)],
  });
  provider.register();
  started = provider;
  recorded = otlpEndpoint !== undefined;
  if (recorded) startGraphqlTraces();
  return stopTelemetry;
}

function batchTo(endpoint: string): SpanProcessor {
  // https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: EXPORT_TIMEOUT_MS });
  return new BatchSpanProcessor(exporter, {
    scheduledDelayMillis: EXPORT_DELAY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
}

function startGraphqlTraces(): void {
  traceGraphql();
  void isGraphqlTraceable().then((traceable) => {
    if (!traceable)
      logger.warn("graphql is not traced: @sba/platform/telemetry must be the first import of the process");
  });
}

async function stopTelemetry(): Promise<void> {
  const stopping = started;
  started = undefined;
  recorded = false;
  untraceGraphql();
  const sent = stopping?.shutdown().then(
    () => true,
    () => false,
  );
  if ((await Promise.race([sent, delay(STOP_TIMEOUT_MS, false, { ref: false })])) === false) {
    logger.warn("the last traces could not be sent");
  }
  trace.disable();
  context.disable();
  propagation.disable();
}

/**
 * Error messages and stacks may quote what a person wrote (a validation error quotes the document), so spans keep only the
 * kind of the error; the rest is in the logs, under the same trace id.
 */
const withoutText: SpanProcessor = {
  onStart: () => undefined,
  onEnding: (span) => {
    if (span.status.code === SpanStatusCode.ERROR) span.setStatus({ code: SpanStatusCode.ERROR });
    for (const { attributes } of span.events) {
      delete attributes?.["exception.message"];
      delete attributes?.["exception.stacktrace"];
    }
  },
  onEnd: () => undefined,
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};

/** Names of things, numbers and flags. Never text that a person or a model wrote. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface SpanOptions {
  /** The span that asked for this work, in another process or earlier: of the request's header or the job's envelope. */
  readonly traceparent?: string | undefined;
  /** `server` for a request, `consumer` for a job, `client` for a call to the outside. */
  readonly kind?: "internal" | "server" | "client" | "producer" | "consumer";
  readonly attributes?: SpanAttributes;
}

const SPAN_KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

/**
 * Runs `work` in a span, a child of `traceparent` or else of the work under way. The span ends when `work` does; what it
 * throws is marked by its code and passes on.
 */
export async function runInSpan<T>(name: string, options: SpanOptions, work: () => T | Promise<T>): Promise<T> {
  const { traceparent, kind = "internal", attributes = {} } = options;
  const parent = traceparent === undefined ? context.active() : remoteContext(traceparent);
  const span = recorded
    ? trace
        .getTracer(INSTRUMENTATION)
        .startSpan(name, { kind: SPAN_KINDS[kind], attributes: defined(attributes) }, parent)
    : unrecordedSpan(parent);
  try {
    return await context.with(trace.setSpan(parent, span), work);
  } catch (error) {
    markFailed(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** What a tracer gives that samples nothing, without asking it: its ids are all that anybody sees. */
function unrecordedSpan(parent: Context): Span {
  const from = trace.getSpanContext(parent);
  const traceId = from && isSpanContextValid(from) ? from.traceId : randomHex(TRACE_ID_BYTES);
  return trace.wrapSpanContext({ traceId, spanId: randomHex(SPAN_ID_BYTES), traceFlags: TraceFlags.NONE });
}

/** True when spans are sent somewhere. */
export function isTraced(): boolean {
  return recorded;
}

/** As `runInSpan`, for work within a request or job: it has no span when nobody would see it, and then costs nothing. */
export function traced<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  return recorded ? runInSpan(name, options, work) : work();
}

/** The parent named by a traceparent; one that is not valid names none, and the span begins a trace of its own. */
function remoteContext(traceparent: string): Context {
  return propagation.extract(ROOT_CONTEXT, { traceparent });
}

function defined(attributes: SpanAttributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

function markFailed(span: Span, error: unknown): void {
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.setAttribute(
    "error.type",
    error instanceof AppError ? error.code : error instanceof Error ? error.name : typeof error,
  );
}

/** Adds attributes to the span of the work under way, if it is traced. */
export function annotateSpan(attributes: SpanAttributes): void {
  trace.getActiveSpan()?.setAttributes(defined(attributes));
}

/** The attributes by which every span of a caller's work is found. */
export function callerAttributes(caller: Caller, runId?: string): SpanAttributes {
  return { "sba.tenant_id": caller.tenantId, "sba.request_id": caller.requestId, "sba.run_id": runId };
}

/** The trace id of the work under way, if it is traced. */
export function currentTraceId(): string | undefined {
  const span = trace.getSpanContext(context.active());
  return span && isSpanContextValid(span) ? span.traceId : undefined;
}

/** The W3C traceparent of the work under way (https://www.w3.org/TR/trace-context/), to be sent with a job or request. */
export function currentTraceparent(): string | undefined {
  const span = trace.getSpanContext(context.active());
  if (!span || !isSpanContextValid(span)) return undefined;
  return `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, "0")}`;
}
