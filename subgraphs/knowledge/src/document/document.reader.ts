import { Worker } from "node:worker_threads";
import type { AppError } from "@sba/platform/errors";
import { splitIntoChunks, type ChunkText } from "../chunk/chunk.split.ts";
import { errors } from "../errors.ts";
import { decodeText, readSections, type MediaType } from "./document.text.ts";

/**
 * Reads what strangers wrote and cuts it into passages, without letting it stop the process: some input of a megabyte keeps the
 * parsers busy for minutes (`a*b_c*` repeated: 147 s in marked; unclosed tags: 28 s in htmlparser2), and 32 MiB of good Markdown
 * take 7 s. What is long is read in a thread that can be ended.
 */

export interface ReadRequest {
  /** Text that was cleaned, or a file's bytes, which go to the thread for good. */
  readonly content: string | Uint8Array<ArrayBuffer>;
  readonly mediaType: MediaType;
}

/** A thread answers in parts, so that taking them in is short work too. */
export type ReadAnswer =
  { readonly problem: string } | { readonly passages: readonly ChunkText[]; readonly isLast: boolean };

/** At this length the worst input found takes 60 ms. */
const INLINE_LENGTH = 16 * 1024;
/** Plain text needs no parser: a megabyte takes 20 ms. */
const INLINE_PLAIN_LENGTH = 1024 * 1024;
const TIMEOUT_MS = 10_000;
const TIMEOUT_MS_PER_MIB = 1_000;
const IDLE_MS = 5_000;
const MEMORY_MB = 768;
const MIB = 1024 * 1024;

let thread: Worker | undefined;
let idleTimer: NodeJS.Timeout | undefined;
let last: Promise<unknown> = Promise.resolve();

/** The passages of a document, in order. @throws KNOWLEDGE_DOCUMENT_UNREADABLE */
export async function readDocument(request: ReadRequest): Promise<readonly ChunkText[]> {
  if (isShort(request)) {
    const read = readHere(request);
    if ("problem" in read) throw unreadable(read.problem);
    return read.passages;
  }
  const answer = last.then(() => readInThread(request));
  last = answer.catch(() => undefined); // one at a time
  return answer;
}

function isShort({ content, mediaType }: ReadRequest): boolean {
  return content.length <= (mediaType === "text/plain" ? INLINE_PLAIN_LENGTH : INLINE_LENGTH);
}

function unreadable(problem: string): AppError {
  return errors.KNOWLEDGE_DOCUMENT_UNREADABLE({ message: `The document's text could not be read: ${problem}.` });
}

/** Parses; what the parser throws (a stack that overflows on deep nesting) is the answer's problem. */
export function readHere({ content, mediaType }: ReadRequest): ReadAnswer {
  try {
    const text = typeof content === "string" ? content : decodeText(content);
    return { passages: splitIntoChunks(readSections(text, mediaType)), isLast: true };
  } catch (error) {
    if (error instanceof TypeError) return { problem: "the file is no text in UTF-8 or UTF-16" };
    return { problem: error instanceof RangeError ? "it is nested too deeply" : "its markup is broken" };
  }
}

function readInThread(request: ReadRequest): Promise<readonly ChunkText[]> {
  clearTimeout(idleTimer);
  const worker = (thread ??= startThread());
  const timeoutMs = TIMEOUT_MS + Math.ceil(request.content.length / MIB) * TIMEOUT_MS_PER_MIB;
  const { promise, resolve, reject } = Promise.withResolvers<readonly ChunkText[]>();
  const passages: ChunkText[] = [];
  const settle = (problem: string | undefined, isAlive: boolean): void => {
    clearTimeout(timer);
    worker.off("message", answered).off("error", failed);
    if (isAlive) idleTimer = setTimeout(endThread, IDLE_MS).unref();
    else endThread();
    if (problem === undefined) resolve(passages);
    else reject(unreadable(problem));
  };
  const answered = (answer: ReadAnswer): void => {
    if ("problem" in answer) {
      settle(answer.problem, true);
      return;
    }
    passages.push(...answer.passages);
    if (answer.isLast) settle(undefined, true);
  };
  const failed = (): void => {
    settle("it needs too much memory", false);
  };
  const timer = setTimeout(() => {
    settle(`it took longer than ${timeoutMs / 1_000} s`, false);
  }, timeoutMs);
  worker.on("message", answered).on("error", failed);
  worker.postMessage(request, typeof request.content === "string" ? [] : [request.content.buffer]);
  // Only a document under way keeps the process, by its timer; the thread itself does not.
  worker.unref();
  return promise;
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
