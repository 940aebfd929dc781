import { pollDocumentOf, textOf, type EventLog, type PollDocument } from "../documents.ts";
import { apiErrorOf, recordOf } from "../errors.ts";
import type { Execute } from "../request.ts";
import { pause } from "../wait.ts";
import type { Rung, StreamOptions, StreamRequest, StreamResult } from "./transport.ts";

/** The same events by asking again and again: where nothing stays open. Only for subscriptions that have an event log. */

export interface PollingOptions {
  readonly execute: Execute;
  readonly logs: Readonly<Record<string, EventLog>>;
  readonly everyMs: number;
}

export function openPolling({ execute, logs, everyMs }: PollingOptions): Rung {
  return {
    name: "polling",
    carries: ({ document }) => pollDocumentOf(document, logs) !== undefined,
    stream: (request, options) => poll(execute, pollDocumentOf(request.document, logs), everyMs, request, options),
    check: () => undefined,
    close: () => Promise.resolve(),
  };
}

async function* poll(
  execute: Execute,
  polling: PollDocument | undefined,
  everyMs: number,
  { variables }: StreamRequest,
  { signal, onOpen }: StreamOptions,
): AsyncGenerator<StreamResult, undefined> {
  if (!polling) throw new TypeError("This subscription cannot be polled.");
  let after = variables["after"] ?? null;
  let isOpen = false;
  while (!signal.aborted) {
    const result = await execute(textOf(polling.document), { ...variables, after }, signal);
    if (!isOpen) onOpen("polling");
    isOpen = true;
    const page = pageOf(result);
    for (const node of page.nodes) {
      yield { data: { [polling.responseKey]: node } };
      if (polling.last.includes(String(node["__typename"]))) return undefined;
    }
    after = page.endCursor ?? after;
    if (!page.hasNextPage) await pause(everyMs, signal);
  }
  return undefined;
}

function pageOf({ data, errors }: StreamResult) {
  const log = recordOf(data?.["log"]);
  // Nobody could say after which event to go on: as if nothing had come.
  if (!log) throw apiErrorOf(errors ?? [{ message: "The event log is not there." }]);
  const edges = (log["edges"] ?? []) as readonly { readonly node: Readonly<Record<string, unknown>> }[];
  const pageInfo = recordOf(log["pageInfo"]) ?? {};
  return {
    nodes: edges.map(({ node }) => node),
    endCursor: pageInfo["endCursor"],
    hasNextPage: pageInfo["hasNextPage"] === true,
  };
}
