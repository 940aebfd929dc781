import { marked } from "marked";
import sanitizeHtml from "sanitize-html";

/** Markdown as a complete HTML page. What a model or a document wrote runs nothing and loads nothing: no script, style, image or frame survives. */
export function renderHtml(title: string, markdown: string): string {
  const body = sanitizeHtml(marked.parse(markdown, { async: false, gfm: true }), {
    allowedTags: [
      "h1",
      "h2",
      "h3",
      "h4",
      "h5",
      "h6",
      "p",
      "br",
      "hr",
      "blockquote",
      "pre",
      "code",
      "ul",
      "ol",
      "li",
      "em",
      "strong",
      "del",
      "sub",
      "sup",
      "a",
      "table",
      "thead",
      "tbody",
      "tr",
      "th",
      "td",
    ],
    allowedAttributes: { a: ["href", "title", "rel"], ol: ["start"], th: ["align"], td: ["align"] },
    allowedSchemes: ["http", "https", "mailto"],
    allowProtocolRelative: false,
    transformTags: { a: sanitizeHtml.simpleTransform("a", { rel: "noopener noreferrer nofollow" }) },
  });
  return `<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>${escapeText(title)}</title>\n</head>\n<body>\n${body}</body>\n</html>\n`;
}

function escapeText(text: string): string {
  return sanitizeHtml(text, { allowedTags: [], allowedAttributes: {}, disallowedTagsMode: "escape" });
}
