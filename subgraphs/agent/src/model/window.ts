import { LOCAL_MODEL } from "./local.ts";
import { countTokens } from "./tokens.ts";

/** How much a model takes in at once, in tokens; what a turn may write counts, too. */

// https://platform.openai.com/docs/models, https://platform.openai.com/docs/deprecations. If you add a model, add its window.
const WINDOWS: readonly (readonly [prefix: string, tokens: number])[] = [
  [LOCAL_MODEL, 32_768],
  ["gpt-4.1", 1_047_576],
  ["gpt-5", 400_000],
  ["gpt-4o", 128_000],
  ["o1", 200_000],
  ["o3", 200_000],
  ["o4", 200_000],
];
/** Small enough for nearly every model that is served today. */
const OTHER_WINDOW = 32_768;

let otherWindow = OTHER_WINDOW;

/** Sets the window of models that are not listed; 32,768 tokens when undefined. */
export function useWindow(tokens: number | undefined): void {
  otherWindow = tokens ?? OTHER_WINDOW;
}

/** The window of a model by its name, dated names of a family included. */
export function windowOf(model: string): number {
  return WINDOWS.find(([prefix]) => model === prefix || model.startsWith(`${prefix}-`))?.[1] ?? otherWindow;
}

/** The frame of a chat and the function by which a model asks the person; generous. */
const FRAME_TOKENS = 200;

/** What is added to a request on its way to a model, in tokens: nothing for the built-in one. */
export function frameTokens(model: string): number {
  return model === LOCAL_MODEL ? 0 : FRAME_TOKENS;
}

// Four bytes a token is the mean for English; code, JSON and other languages have less.
const BYTES_PER_TOKEN = 3;

/** About how many tokens a model makes of a text: exact for the built-in model, rather too many for others. */
export function approximateTokens(model: string, text: string): number {
  return model === LOCAL_MODEL ? countTokens(text) : Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
}
