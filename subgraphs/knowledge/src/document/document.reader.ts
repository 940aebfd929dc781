import { Worker } from "node:worker_threads";
import { errors } from "../errors.ts";
import { readSections, type MediaType, type Section } from "./document.text.ts";

/**
 * Reads what strangers wrote without letting it stop the process: some input of a megabyte keeps the parsers busy for
 * minutes (`a*b_c*` repeated: 147 s in marked; unclosed tags: 28 s in htmlparser2). Long Markdown and HTML is read in a
 * thread that can be ended.
 */

export interface ReadRequest {
  readonly text: string;
  readonly mediaType: MediaType;
}

export type ReadAnswer = { readonly sections: Section[] } | { readonly problem: string };

/** At this length the worst input found takes 60 ms. */
const INLINE_LENGTH = 16 * 1024;
const TIMEOUT_MS = 10_000;
const IDLE_MS = 5_000;
const MEMORY_MB = 512;

let thread: Worker | undefined;
let idleTimer: NodeJS.Timeout | undefined;
let last: Promise<unknown> = Promise.resolve();

/** The sections of a document. @throws KNOWLEDGE_DOCUMENT_UNREADABLE */
export function readDocument(request: ReadRequest): Promise<Section[]> {
  const isShort = request.mediaType === "text/plain" || request.text.length <= INLINE_LENGTH;
  const answer = isShort ? Promise.resolve().then(() => readHere(request)) : last.then(() => readInThread(request));
  if (!isShort) last = answer.catch(() => undefined); // one at a time
  return answer.then((read) => {
    if ("problem" in read)
      throw errors.KNOWLEDGE_DOCUMENT_UNREADABLE({
        message: `The document's text could not be read: ${read.problem}.`,
      });
    return read.sections;
  });
}

/** Parses; what the parser throws (a stack that overflows on deep nesting) is the answer's problem. */
export function readHere({ text, mediaType }: ReadRequest): ReadAnswer {
  try {
    return { sections: readSections(text, mediaType) };
  } catch (error) {
    return { problem: error instanceof RangeError ? "it is nested too deeply" : "its markup is broken" };
  }
}

function readInThread(request: ReadRequest): Promise<ReadAnswer> {
  clearTimeout(idleTimer);
  const worker = (thread ??= startThread());
  return new Promise((resolve) => {
    const settle = (answer: ReadAnswer, isAlive: boolean): void => {
      clearTimeout(timer);
      worker.off("message", answered).off("error", failed);
      if (isAlive) idleTimer = setTimeout(endThread, IDLE_MS).unref();
      else endThread();
      resolve(answer);
    };
    const answered = (answer: ReadAnswer): void => {
      settle(answer, true);
    };
    const failed = (): void => {
      settle({ problem: "it needs too much memory" }, false);
    };
    const timer = setTimeout(() => {
      settle({ problem: `it took longer than ${TIMEOUT_MS / 1000} s` }, false);
    }, TIMEOUT_MS);
    worker.on("message", answered).on("error", failed);
    worker.postMessage(request);
    // Only a document under way keeps the process, by its timer; the thread itself does not.
    worker.unref();
  });
}

function startThread(): Worker {
  const worker = new Worker(new URL("document.thread.ts", import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
  });
  // Without a listener, what ends an idle thread would end the process.
  return worker.on("error", endThread);
}

function endThread(): void {
  void thread?.terminate();
  thread = undefined;
}
