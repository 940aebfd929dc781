import type { Caller } from "@sba/platform/caller";
import type { Citation } from "@sba/platform/generated/prisma/client";
import { decodeId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import type { ToolCall } from "@sba/integrations/index";
import { citationsOf } from "../model/citations.ts";
import { ownMessages } from "../thread/message.ts";
import { z } from "zod";
import type { Draft } from "./session.ts";

/** What an answer rests on: the passages whose numbers it names. */

/** The part of a look-up's result that citations need; other tools' results do not have it. */
const lookUp = z.looseObject({
  hits: z.array(
    z.looseObject({ number: z.number().int(), documentId: z.string(), chunkId: z.string(), text: z.string() }),
  ),
});

type Hit = z.infer<typeof lookUp>["hits"][number];

/** The hits of a run's look-ups that the model was shown. */
function hitsOf(texts: readonly string[]): Hit[] {
  return texts.flatMap((text) => {
    const parsed = lookUp.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data.hits : [];
  });
}

/** What the run's tools have answered so far. */
function answersIn({ history, run }: Draft): string[] {
  return ownMessages(history, run.id)
    .filter(({ role }) => role === "tool")
    .map(({ text }) => text);
}

/** A look-up's result with its hits numbered on from the run's earlier look-ups: a number means one passage in one run. */
export function numberHits(draft: Draft, { result }: ToolCall): unknown {
  const parsed = lookUp.safeParse(result);
  if (!parsed.success) return result;
  const offset = hitsOf(answersIn(draft)).length;
  return { ...parsed.data, hits: parsed.data.hits.map((hit, index) => ({ ...hit, number: offset + index + 1 })) };
}

/** Records the passages that the output names, each once, in the order of their first mention. */
export function citePassages(draft: Draft, output: string): void {
  const { id: runId, tenantId } = draft.run;
  const cited = citationsOf(output, hitsOf(answersIn(draft)));
  if (cited.length === 0) return;
  draft.writes.push((tx) => {
    void tx.sql`
      INSERT INTO agent.citation (tenant_id, run_id, ordinal, document_id, chunk_id, quote)
      SELECT ${tenantId}, ${runId}, cited.ordinal, cited.document_id, cited.chunk_id, cited.quote
      FROM unnest(${cited.map(({ hit }) => decodeId("Document", hit.documentId))}::uuid[],
                  ${cited.map(({ hit }) => decodeId("Chunk", hit.chunkId))}::uuid[], ${cited.map(({ quote }) => quote)}::text[])
           WITH ORDINALITY AS cited (document_id, chunk_id, quote, ordinal)`;
  });
}

/** The citations of these runs, in order. */
export function findCitationsOfRuns(caller: Caller, runIds: readonly string[]): Promise<Citation[]> {
  return reader(caller).citation.findMany({ where: { runId: { in: [...runIds] } }, orderBy: { ordinal: "asc" } });
}
