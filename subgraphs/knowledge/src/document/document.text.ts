import { convert, type FormatCallback, type HtmlToTextOptions } from "html-to-text";
import { marked } from "marked";

/** What a document says, without what it looks like: running text in sections, each under its headings. */

export const MEDIA_TYPES = ["text/plain", "text/markdown", "text/html"] as const;
export type MediaType = (typeof MEDIA_TYPES)[number];

export function isMediaType(value: string): value is MediaType {
  return (MEDIA_TYPES as readonly string[]).includes(value);
}

export interface Section {
  /** The headings above the text, outermost first; the last is the section's own. */
  readonly headings: readonly string[];
  /** Paragraphs, separated by blank lines. */
  readonly text: string;
}

// Marks a heading's line on its way through plain text; `cleanText` took it out of what users give.
const HEADING_MARK = "\u0001";
const HEADING_LINE = /^\u0001([1-6])(.*)$/;
// What no text has a use for and Postgres refuses (NUL) or would hide: control characters but tab and line feed.
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufeff]/g;

/** Text that can be stored: well-formed Unicode, line feeds for line ends, no control characters. */
export function cleanText(text: string): string {
  return text.toWellFormed().replace(/\r\n?/g, "\n").replace(CONTROL, "");
}

/**
 * The text of a file: in UTF-8, or in UTF-16 when it begins as that does. @throws TypeError when it is neither
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  // No text has it, and every archive, picture and office document does.
  if (text.includes("\0")) throw new TypeError("holds NUL");
  return cleanText(text);
}

/** The sections of a document. @throws RangeError when it is nested too deeply to be read. */
export function readSections(text: string, mediaType: MediaType): Section[] {
  switch (mediaType) {
    case "text/plain":
      return toSections(text);
    case "text/markdown":
      return toSections(htmlToText(marked.parse(text, { async: false, gfm: true })));
    case "text/html":
      return toSections(htmlToText(text));
  }
}

const heading: FormatCallback = (element, walk, builder) => {
  builder.openBlock({ leadingLineBreaks: 2 });
  builder.addLiteral(`${HEADING_MARK}${element.name?.slice(1) ?? ""}`);
  walk(element.children, builder);
  builder.closeBlock({ trailingLineBreaks: 2 });
};

// A cell ends with a space: neighbours of a row do not run into one word.
const cell: FormatCallback = (element, walk, builder) => {
  walk(element.children, builder);
  builder.addInline(" ");
};

const HTML_OPTIONS: HtmlToTextOptions = {
  wordwrap: false,
  // Well above a document of 1 MiB as rendered Markdown; the default cuts silently.
  limits: { maxInputLength: 64 * 1024 * 1024 },
  formatters: { heading, cell },
  selectors: [
    ...["h1", "h2", "h3", "h4", "h5", "h6"].map((selector) => ({ selector, format: "heading" })),
    ...[
      "script",
      "style",
      "noscript",
      "template",
      "svg",
      "head",
      "nav",
      "img",
      "iframe",
      "button",
      "select",
      "textarea",
    ].map((selector) => ({ selector, format: "skip" })),
    { selector: "a", format: "inline" },
    ...["table", "tr", "blockquote", "ul", "ol"].map((selector) => ({ selector, format: "block" })),
    ...["td", "th"].map((selector) => ({ selector, format: "cell" })),
    { selector: "li", format: "block", options: { leadingLineBreaks: 1, trailingLineBreaks: 1 } },
    { selector: "hr", format: "block" },
  ],
};

function htmlToText(html: string): string {
  return convert(html, HTML_OPTIONS);
}

function toSections(text: string): Section[] {
  const sections: Section[] = [];
  const path: string[] = [];
  let lines: string[] = [];
  const close = (): void => {
    const body = lines
      .join("\n")
      .replace(/\n{3,}/g, "\n\n")
      .trim();
    if (body !== "") sections.push({ headings: path.filter(Boolean), text: body });
    lines = [];
  };
  for (const line of text.split("\n")) {
    const mark = HEADING_LINE.exec(line);
    if (!mark) {
      lines.push(line);
      continue;
    }
    close();
    const title = (mark[2] ?? "").trim();
    const level = Number(mark[1]);
    path.length = Math.min(path.length, level - 1);
    path[level - 1] = title;
    // A section begins with its heading, so that a heading without text is found too.
    if (title !== "") lines.push(title, "");
  }
  close();
  return sections;
}
