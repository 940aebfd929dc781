/** What is known of a file before it is sent. */

export interface Limits {
  readonly maxBytes: number;
  readonly maxTextBytes: number;
  readonly mediaTypes: readonly string[];
}

// Systems know few of these by themselves: Markdown has no type on most.
const BY_ENDING: Readonly<Record<string, string>> = {
  txt: "text/plain",
  text: "text/plain",
  log: "text/plain",
  md: "text/markdown",
  markdown: "text/markdown",
  html: "text/html",
  htm: "text/html",
};

/** For the file chooser. */
export const ENDINGS = Object.keys(BY_ENDING)
  .map((ending) => `.${ending}`)
  .join(",");

/** By the file's ending, then by what the system says; undefined when documents are not of it. */
export function mediaTypeOf({ name, type }: Pick<File, "name" | "type">, { mediaTypes }: Limits): string | undefined {
  const ending = name.toLowerCase().split(".").at(-1) ?? "";
  const found = BY_ENDING[ending] ?? type.split(";", 1)[0];
  return mediaTypes.find((each) => each === found);
}

/** Its text in UTF-8 or, when it begins as that does, UTF-16; undefined when it is neither. */
export async function readText(file: Blob): Promise<string | undefined> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return text.includes("\0") ? undefined : text;
  } catch {
    return undefined;
  }
}

/** In hexadecimal; undefined where the browser has no such function: on plain http to another machine. */
export async function sha256Of(file: Blob): Promise<string | undefined> {
  const { subtle } = crypto as { readonly subtle?: SubtleCrypto };
  if (!subtle) return undefined;
  const digest = await subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
