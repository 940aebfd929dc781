import { resolve } from "node:path";
import { parseArgs } from "node:util";

/** What may stand behind `npm start --`. */
export interface StartOptions {
  /** A second place for ready.json. */
  readonly readyFile: string | undefined;
  /** Whether the main job is run once in the terminal: by default on the first start of a data folder. */
  readonly demo: "FIRST_START" | "ALWAYS" | "NEVER";
}

/** @throws Error naming the argument that is not known. */
export function parseOptions(argv: readonly string[]): StartOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: { "ready-file": { type: "string" }, demo: { type: "boolean" } },
    allowNegative: true,
  });
  const readyFile = values["ready-file"];
  const demo = values.demo === undefined ? "FIRST_START" : values.demo ? "ALWAYS" : "NEVER";
  return { readyFile: readyFile === undefined ? undefined : resolve(readyFile), demo };
}
