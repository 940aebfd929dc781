import { createParser } from "eventsource-parser";
import { textOf } from "../documents.ts";
import { apiErrorOf, isFormattedErrors, networkError, recordOf, toApiError } from "../errors.ts";
import { introduce, type Introduction } from "../token.ts";
import type { Rung, StreamOptions, StreamRequest, StreamResult } from "./transport.ts";

/**
 * GraphQL over server-sent events, distinct connections: for networks that let no WebSocket through. `fetch` and not
 * EventSource, which sends no credentials and no body, and starts over by itself with the old variables.
 */

export interface SseOptions extends Introduction {
  readonly url: string;
  /** A server that says nothing for this long, not even a comment, is gone. */
  readonly silentMs: number;
}

const NO_STREAMS = [404, 405, 406];

export function openSse(options: SseOptions): Rung {
  const closing = new AbortController();
  const listening = new Set<{ lookAgain(): void }>();
  return {
    name: "sse",
    carries: () => true,
    stream: (request, { signal, onOpen }) =>
      listen(options, request, { onOpen, signal: AbortSignal.any([signal, closing.signal]) }, listening),
    check: () => {
      for (const each of listening) each.lookAgain();
    },
    close: () => {
      closing.abort();
      return Promise.resolve();
    },
  };
}

async function* listen(
  { url, silentMs, ...who }: SseOptions,
  request: StreamRequest,
  { signal, onOpen }: StreamOptions,
  listening: Set<{ lookAgain(): void }>,
): AsyncGenerator<StreamResult, undefined> {
  const silence = watchSilence(silentMs);
  listening.add(silence);
  const stop = AbortSignal.any([signal, silence.signal]);
  try {
    const body = await connect(url, await headersOf(who, request), request, stop);
    onOpen("sse");
    silence.heard();
    yield* readResults(body, silence.heard);
    return undefined;
  } catch (thrown) {
    if (signal.aborted) return undefined;
    throw silence.signal.aborted
      ? networkError("The event stream fell silent.", { cause: thrown })
      : toApiError(thrown);
  } finally {
    listening.delete(silence);
    silence.stop();
  }
}

async function headersOf(who: Introduction, { variables }: StreamRequest): Promise<Record<string, string>> {
  const after = variables["after"];
  return {
    accept: "text/event-stream",
    "content-type": "application/json",
    ...(await introduce(who)),
    ...(typeof after === "string" ? { "last-event-id": after } : {}),
  };
}

async function connect(
  url: string,
  headers: Record<string, string>,
  { document, variables }: StreamRequest,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const body = JSON.stringify({ query: textOf(document), variables });
  const response = await fetch(url, { method: "POST", headers, body, signal, cache: "no-store" });
  if (response.ok && response.body && response.headers.get("content-type")?.startsWith("text/event-stream"))
    return response.body;
  // There are no such streams here, whatever else is said of it: another transport may do.
  if (NO_STREAMS.includes(response.status)) throw networkError(`Event streams are answered with ${response.status}.`);
  const answer: unknown = await response.json().catch(() => undefined);
  const errors = recordOf(answer)?.["errors"];
  if (isFormattedErrors(errors) && errors.length > 0) throw apiErrorOf(errors);
  throw networkError(`The API answered ${response.status} without a stream of events.`);
}

/** `next` events until `complete`. @throws NetworkError when the stream ends without one. */
async function* readResults(body: ReadableStream<Uint8Array>, heard: () => void): AsyncGenerator<StreamResult, void> {
  const results: StreamResult[] = [];
  let isComplete = false;
  const parser = createParser({
    onEvent: ({ event, data }) => {
      if (event === "complete") isComplete = true;
      else if (event === "next") results.push(JSON.parse(data) as StreamResult);
    },
  });
  const decoder = new TextDecoder();
  // Not every browser iterates over a stream.
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw networkError("The event stream was cut off.");
      heard();
      parser.feed(decoder.decode(value, { stream: true }));
      yield* results.splice(0);
      if (isComplete) return;
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

/** Aborts its signal when nothing is heard for a time; sooner when one has reason to doubt. */
function watchSilence(silentMs: number) {
  const silent = new AbortController();
  let timer: ReturnType<typeof setTimeout>;
  let heardAtMs = Date.now();
  const watch = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silent.abort();
    }, ms);
  };
  watch(silentMs);
  return {
    signal: silent.signal,
    heard: () => {
      heardAtMs = Date.now();
      watch(silentMs);
    },
    // A timer that slept with the machine starts anew when it wakes: what counts is the clock.
    lookAgain: () => {
      if (Date.now() - heardAtMs > silentMs) silent.abort();
    },
    stop: () => {
      clearTimeout(timer);
    },
  };
}
