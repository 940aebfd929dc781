import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { Citation, Message, Run as RunRow } from "@sba/platform/generated/prisma/client";
import { decodeId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import type { ToolCall } from "@sba/integrations/index";
import { citationsOf } from "../model/citations.ts";
import { z } from "zod";

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

/** A look-up's result with its hits numbered on from the run's earlier look-ups: a number means one passage in one run. */
export async function numberHits(tx: Tx, run: RunRow, { result }: ToolCall): Promise<unknown> {
  const parsed = lookUp.safeParse(result);
  if (!parsed.success) return result;
  const earlier = await tx.sql<{
    text: string;
  }>`SELECT text FROM agent.message WHERE run_id = ${run.id} AND role = 'tool'`;
  const offset = hitsOf(earlier.map(({ text }) => text)).length;
  return { ...parsed.data, hits: parsed.data.hits.map((hit, index) => ({ ...hit, number: offset + index + 1 })) };
}

/** Records the passages that the output names, each once, in the order of their first mention. */
export async function recordCitations(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  { output, history }: { readonly output: string; readonly history: readonly Message[] },
): Promise<void> {
  const shown = history
    .filter((message) => message.runId === run.id && message.role === "tool")
    .map(({ text }) => text);
  const cited = citationsOf(output, hitsOf(shown));
  for (const [index, { hit, quote }] of cited.entries()) {
    await tx.sql`
      INSERT INTO agent.citation (tenant_id, run_id, ordinal, document_id, chunk_id, quote)
      VALUES (${caller.tenantId}, ${run.id}, ${index + 1}, ${decodeId("Document", hit.documentId)}, ${decodeId("Chunk", hit.chunkId)}, ${quote})`;
  }
}

/** The citations of these runs, in order. */
export function findCitationsOfRuns(caller: Caller, runIds: readonly string[]): Promise<Citation[]> {
  return reader(caller).citation.findMany({ where: { runId: { in: [...runIds] } }, orderBy: { ordinal: "asc" } });
}
