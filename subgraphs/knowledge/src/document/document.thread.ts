import { parentPort } from "node:worker_threads";
import { readHere, type ReadAnswer, type ReadRequest } from "./document.reader.ts";

/** Passages in one message: taking a part in keeps the other side for about a millisecond. */
const PART = 200;

/** The other side of `document.reader.ts`: the answer to each request, in order. */
parentPort?.on("message", (request: ReadRequest) => {
  const answer = readHere(request);
  if ("problem" in answer) {
    send(answer);
    return;
  }
  for (let at = 0; at === 0 || at < answer.passages.length; at += PART)
    send({ passages: answer.passages.slice(at, at + PART), isLast: at + PART >= answer.passages.length });
});

function send(answer: ReadAnswer): void {
  parentPort?.postMessage(answer);
}
