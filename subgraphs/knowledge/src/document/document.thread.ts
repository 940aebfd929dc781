import { parentPort } from "node:worker_threads";
import { readHere, type ReadRequest } from "./document.reader.ts";

/** The other side of `document.reader.ts`: one answer for each request, in order. */
parentPort?.on("message", (request: ReadRequest) => {
  parentPort?.postMessage(readHere(request));
});
