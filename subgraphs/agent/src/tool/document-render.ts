import { defineTool } from "@sba/integrations/index";
import { encodeId } from "@sba/platform/ids";
import { z } from "zod";
import { createArtifact } from "../artifact/artifact.ts";
import { renderHtml } from "./render-html.ts";

const MAX_MARKDOWN_BYTES = 200 * 1024;

const FORMATS = {
  markdown: { mediaType: "text/markdown", extension: "md" },
  html: { mediaType: "text/html", extension: "html" },
} as const;

/** Writes a document and keeps it as an artifact of the run. */
export const documentRender = defineTool({
  name: "document.render",
  version: 1,
  description:
    "Writes a document from Markdown and keeps it as a file of this run that people can download. Use it once the content is final.",
  params: z.object({
    title: z.string().trim().min(1).max(200),
    markdown: z
      .string()
      .min(1)
      .max(MAX_MARKDOWN_BYTES)
      .refine(
        (text) => Buffer.byteLength(text) <= MAX_MARKDOWN_BYTES,
        `must be at most ${MAX_MARKDOWN_BYTES} bytes of UTF-8`,
      ),
    format: z.enum(["markdown", "html"]).default("markdown"),
  }),
  result: z.object({ artifactId: z.string(), name: z.string(), mediaType: z.string(), sizeBytes: z.number().int() }),
  example: { title: "Summary", markdown: "# Summary\n\nAll is well.", format: "markdown" },
  requires: ["document:render"],
  approval: "NEVER",
  sideEffect: true,
  idempotent: true,
  timeoutMs: 30_000,
  execute: async ({ caller, callId, runId }, { title, markdown, format }) => {
    const { mediaType, extension } = FORMATS[format];
    const text = format === "html" ? renderHtml(title, markdown) : markdown;
    const artifact = await createArtifact(caller, {
      id: callId,
      runId,
      name: `${fileNameOf(title)}.${extension}`,
      mediaType,
      bytes: Buffer.from(text),
    });
    return {
      artifactId: encodeId("Artifact", artifact.id),
      name: artifact.name,
      mediaType,
      sizeBytes: Number(artifact.sizeBytes),
    };
  },
});

const MAX_NAME_LENGTH = 100;

/** The title as a name that every file system takes. */
function fileNameOf(title: string): string {
  const safe = title
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Cf}\\/:*?"<>|]/gu, " ")
    .replaceAll(/\s+/g, " ");
  const short = [...safe]
    .slice(0, MAX_NAME_LENGTH)
    .join("")
    .replaceAll(/^[\s.]+|[\s.]+$/g, "");
  return short === "" ? "document" : short;
}
