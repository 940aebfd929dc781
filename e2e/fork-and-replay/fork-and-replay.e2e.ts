import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { ForkRunDocument, RunDocument, StartRunDocument, type Client } from "@sba/client";
import { describe, expect, inject, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { asRecorded, changeRows, collectEvents, textOf, useSystem, type RunEvent } from "../story.ts";

const story = useSystem();
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What the operator's command prints, and the code that it ends with. */
async function replay(runId: string): Promise<{ code: number | null; output: string }> {
  const env = { ...process.env, DATA_DIR: dirname(inject("readyFile")), LOG_LEVEL: "warn" };
  const child = spawn(process.execPath, ["scripts/replay.ts", runId], { cwd: ROOT, env });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output: Buffer.concat(output).toString().trim() };
}

const toolsCalled = (events: readonly RunEvent[]): string[] =>
  events.flatMap((event) => (event.__typename === "ToolResulted" ? [event.toolCall.name] : []));

async function start(client: Client): Promise<{ id: string; events: RunEvent[] }> {
  const { startRun } = await client.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
  return { id: startRun.id, events: await collectEvents(client, startRun.id) };
}

describe("fork and replay", () => {
  it("goes on from an event without repeating what was done, and does both runs again with the same events", async () => {
    const operator = story().client("operator");
    const original = await start(operator);
    const [searched] = original.events.filter(({ __typename }) => __typename === "ToolResulted");
    const { forkRun } = await operator.mutate(ForkRunDocument, { runId: original.id, fromSeq: searched!.seq });
    expect(forkRun.forkedFrom).toMatchObject({ run: { id: original.id }, seq: searched!.seq });
    const events = await collectEvents(operator, forkRun.id);
    expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    // What the original had looked up is told, not looked up again.
    expect(toolsCalled(original.events)).toEqual(["knowledge.search", ...toolsCalled(events)]);
    expect(toolsCalled(events)).not.toContain("knowledge.search");
    const { run } = await operator.query(RunDocument, { id: original.id });
    const { run: fork } = await operator.query(RunDocument, { id: forkRun.id });
    expect(fork.output).toBe(run.output);
    expect(textOf(original.events)).toBe(run.output);
    expect(asRecorded(await collectEvents(operator, original.id))).toEqual(asRecorded(original.events));

    const said = await replay(original.id);
    const sameAgain = `[0-9a-f]{64}  ${original.events.length} events, replayed without a difference`;
    expect(said).toEqual({ code: 0, output: expect.stringMatching(new RegExp(`^${sameAgain}$`)) as string });
    expect((await replay(forkRun.id)).code).toBe(0);
    expect(asRecorded(await collectEvents(operator, original.id))).toEqual(asRecorded(original.events));
    await changeRows(
      "UPDATE agent.message SET text = text || '!' WHERE run_id = $1 AND role = 'assistant'",
      original.id,
    );
    expect(await replay(original.id)).toMatchObject({
      code: 1,
      output: expect.stringContaining("is another") as string,
    });
  });
});
