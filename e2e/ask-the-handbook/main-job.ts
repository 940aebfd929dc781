import { AgentsDocument, RunDocument, StartRunDocument, UsageDocument, type Client } from "@sba/client";
import { expect } from "vitest";
import { collectEvents, textOf } from "../story.ts";

/** The main job as a user of any deployment sees it. */

export const QUESTION =
  "what similarity laws must be obeyed when constructing aeroelastic models of heated high speed aircraft";

export interface MainJob {
  /** May start runs. */
  readonly user: Client;
  /** May read usage, and nothing else. */
  readonly partner: Client;
  readonly question: string;
}

/** Asks, watches the answer stream, and holds the result against the journal, the ledger and the artifact's bytes. */
export async function askTheHandbook({ user, partner, question }: MainJob): Promise<void> {
  const { agents } = await user.query(AgentsDocument);
  expect(agents.edges.map(({ node }) => node.key)).toContain("handbook");

  const from = new Date(Date.now() - 60_000).toISOString();
  const before = await totalsOf(partner, from);
  const { startRun } = await user.mutate(StartRunDocument, { agentKey: "handbook", prompt: question });
  const events = await collectEvents(user, startRun.id);
  const { run } = await user.query(RunDocument, { id: startRun.id });

  expect(run).toMatchObject({ status: "COMPLETED", prompt: question, agent: { key: "handbook" } });
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  expect(events.at(-1)).toMatchObject({
    __typename: "RunFinished",
    run: { status: "COMPLETED", output: run.output, tenant: { name: run.tenant?.name } },
  });
  expect(textOf(events)).toBe(run.output);
  expect(events.filter(({ __typename }) => __typename === "TokenDelta").length).toBeGreaterThan(1);
  expect(run.startedBy?.displayName).toEqual(expect.any(String));
  expect(run.citations.length).toBeGreaterThan(0);
  for (const citation of run.citations)
    expect(citation).toMatchObject({
      document: { title: expect.any(String) as unknown },
      quote: expect.any(String) as unknown,
    });
  await expectArtifact(run.artifacts[0], question);
  await expectExactUsage({ partner, from, before, run, events });
}

async function expectArtifact(
  artifact: { downloadUrl: string; sizeBytes: string } | undefined,
  question: string,
): Promise<void> {
  const response = await fetch(artifact?.downloadUrl ?? "");
  const bytes = Buffer.from(await response.arrayBuffer());
  expect(response.headers.get("content-disposition")).toMatch(/^attachment/);
  expect(String(bytes.byteLength)).toBe(artifact?.sizeBytes);
  expect(bytes.toString()).toContain(question);
}

type Lines = readonly { readonly meter: string; readonly quantity: string }[];

function addUp(lines: Lines): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const { meter, quantity } of lines) sums.set(meter, (sums.get(meter) ?? 0n) + BigInt(quantity));
  return sums;
}

async function totalsOf(partner: Client, from: string): Promise<Map<string, bigint>> {
  const to = new Date(Date.now() + 3_600_000).toISOString();
  const { usage } = await partner.query(UsageDocument, { from, to, granularity: "HOUR" });
  return addUp(usage.totals);
}

interface UsageFacts {
  readonly partner: Client;
  readonly from: string;
  readonly before: Map<string, bigint>;
  readonly run: { readonly usage?: Lines | null };
  readonly events: Awaited<ReturnType<typeof collectEvents>>;
}

/** What the stream announced, what the run shows, and what the partner is billed are the same to the unit. */
async function expectExactUsage({ partner, from, before, run, events }: UsageFacts): Promise<void> {
  const announced = addUp(events.flatMap((event) => (event.__typename === "UsageRecorded" ? event.usage : [])));
  expect(addUp(run.usage ?? [])).toEqual(announced);
  const after = await totalsOf(partner, from);
  for (const [meter, quantity] of announced)
    expect((after.get(meter) ?? 0n) - (before.get(meter) ?? 0n), meter).toBe(quantity);
}
