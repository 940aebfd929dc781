import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { logger } from "@sba/platform/log";

/** A new supergraph for a gateway that runs: its file has changed, or somebody has sent SIGHUP. */

/** A file is written in pieces, and an editor or a mounted volume puts another in its place: what is read waits until it rests. */
const REST_MS = 100;

/** Calls `reload` with the file's text when it has changed, one at a time. What is not valid is logged, and nothing changes. Returns how to stop. */
export function followSupergraph(path: string, reload: (sdl: string) => Promise<void>): () => void {
  let due: NodeJS.Timeout | undefined;
  let underWay = Promise.resolve();
  const look = (): void => {
    underWay = underWay
      .then(async () => reload(await readFile(path, "utf8")))
      .catch((error: unknown) => {
        logger.error({ err: error, "supergraph.file": path }, "a new supergraph was not taken");
      });
  };
  // The folder, because a file that is replaced is another file.
  const watcher = watch(dirname(path), (_event, name) => {
    if (name !== null && name !== basename(path) && !name.startsWith("..")) return;
    clearTimeout(due);
    due = setTimeout(look, REST_MS);
  });
  watcher.on("error", (error) => {
    logger.warn({ err: error, "supergraph.file": path }, "the supergraph's file is not watched any more");
  });
  watcher.unref();
  process.on("SIGHUP", look);
  return () => {
    clearTimeout(due);
    watcher.close();
    process.off("SIGHUP", look);
  };
}
