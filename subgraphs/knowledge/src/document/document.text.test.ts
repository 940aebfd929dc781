import { expect, test } from "vitest";
import { splitIntoChunks } from "../chunk/chunk.split.ts";
import { readDocument } from "./document.reader.ts";
import { cleanText, decodeText, readSections } from "./document.text.ts";

test("reads plain text as one section", () => {
  expect(readSections("One.\n\nTwo.", "text/plain")).toEqual([{ headings: [], text: "One.\n\nTwo." }]);
});

test("puts the text of Markdown under its headings", () => {
  const markdown =
    "Intro.\n\n# Leave\n\nThirty *days* of [leave](http://a.example).\n\n## Parents\n\nMore.\n\n# Travel\n\n- by train\n- by bus\n";
  expect(readSections(markdown, "text/markdown")).toEqual([
    { headings: [], text: "Intro." },
    { headings: ["Leave"], text: "Leave\n\nThirty days of leave." },
    { headings: ["Leave", "Parents"], text: "Parents\n\nMore." },
    { headings: ["Travel"], text: "Travel\n\nby train\nby bus" },
  ]);
});

test("skips a level of headings without inventing one", () => {
  expect(readSections("### Deep\n\nText.\n\n# Top\n\nMore.", "text/markdown").map(({ headings }) => headings)).toEqual([
    ["Deep"],
    ["Top"],
  ]);
});

test("reads HTML without scripts, styles and navigation", () => {
  const html = `<html><head><title>x</title><style>p { color: red }</style></head><body><nav>Home</nav><script>alert("no")</script>
    <h1>Pay &amp; bonus</h1><p>Paid <b>monthly</b>.<br>Never late.</p><!-- hidden --><img alt="chart" src="x"></body></html>`;
  expect(readSections(html, "text/html")).toEqual([
    { headings: ["Pay & bonus"], text: "Pay & bonus\n\nPaid monthly.\nNever late." },
  ]);
});

test("keeps the cells of a table apart", () => {
  const [section] = readSections(
    "<table><tr><th>Grade</th><th>Days</th></tr><tr><td>A</td><td>30</td></tr></table>",
    "text/html",
  );
  expect(section?.text.split(/\s+/)).toEqual(["Grade", "Days", "A", "30"]);
});

test("survives HTML that nobody closed", () => {
  expect(readSections("<p>one<p>two<div><b>three</i></table>&nosuch;<", "text/html")[0]?.text).toContain("three");
});

test("finds no section in a document without text", () => {
  for (const text of ["", " \n\t\n ", "<p></p><script>1</script>", "<!-- -->"])
    expect(readSections(text, "text/html")).toEqual([]);
  expect(readSections("", "text/plain")).toEqual([]);
});

test("takes out what cannot be stored and keeps the rest", () => {
  expect(cleanText("a\u0000b\ud800c\r\nd\re\u0001🙂\t")).toBe("ab\ufffdc\nd\ne🙂\t");
});

test("knows text in UTF-8 and UTF-16 from what is no text", async () => {
  expect(decodeText(Buffer.from("\ufeffG\u00f6del \ud83d\ude42"))).toBe("G\u00f6del \ud83d\ude42");
  expect(decodeText(Buffer.from("\ufeffhello", "utf16le"))).toBe("hello");
  expect(decodeText(Buffer.from("\ufeffhello", "utf16le").swap16())).toBe("hello");
  for (const bytes of [Buffer.from("%PDF-1.7\n%\xe2\xe3", "latin1"), Buffer.from("PK\u0003\u0004\0\0")]) {
    const content = Uint8Array.from(bytes);
    await expect(readDocument({ content, mediaType: "text/plain" })).rejects.toThrow("no text in UTF-8");
  }
});

test("does not take a user's text for a heading mark", () => {
  expect(readSections(cleanText("\u00011fake"), "text/plain")).toEqual([{ headings: [], text: "1fake" }]);
});

test("reads a long document in its thread as it would here", async () => {
  const text = "# Title\n\nSome *words* here.\n\n".repeat(2_000);
  const passages = splitIntoChunks(readSections(text, "text/markdown"));
  expect(passages.length).toBeGreaterThan(30);
  expect(await readDocument({ content: text, mediaType: "text/markdown" })).toEqual(passages);
  const content = new TextEncoder().encode(text);
  expect(await readDocument({ content, mediaType: "text/markdown" })).toEqual(passages);
});

test("refuses a document that is nested too deeply, and reads the next", async () => {
  const deep = "<div>".repeat(20_000);
  await expect(readDocument({ content: deep, mediaType: "text/html" })).rejects.toMatchObject({
    code: "KNOWLEDGE_DOCUMENT_UNREADABLE",
  });
  const next = readDocument({ content: `${"word ".repeat(5_000)}.`, mediaType: "text/markdown" });
  await expect(next).resolves.not.toHaveLength(0);
});
