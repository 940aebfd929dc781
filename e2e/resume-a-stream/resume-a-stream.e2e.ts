import { RunEventLogDocument, RunEventsDocument, StartRunDocument, type Client } from "@sba/client";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { collectEvents, useSystem, type RunEvent } from "../story.ts";

const story = useSystem();

/** Watches for `count` events after the cursor, then hangs up: the socket with it. */
async function watchAndHangUp(client: Client, runId: string, after: string | null, count: number): Promise<RunEvent[]> {
  const seen: RunEvent[] = [];
  for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId, after })) {
    seen.push(runEvents);
    if (seen.length === count) break;
  }
  await client.close();
  return seen;
}

async function readLog(client: Client, runId: string): Promise<{ seq: number; cursor: string }[]> {
  const entries: { seq: number; cursor: string }[] = [];
  for (let after: string | null = null; ;) {
    const {
      runEventLog,
    }: {
      runEventLog: {
        edges: readonly { cursor: string; node: { seq: number } }[];
        pageInfo: { endCursor?: string | null; hasNextPage: boolean };
      };
    } = await client.query(RunEventLogDocument, { runId, after, first: 7 });
    entries.push(...runEventLog.edges.map(({ cursor, node }) => ({ seq: node.seq, cursor })));
    if (!runEventLog.pageInfo.hasNextPage) return entries;
    after = runEventLog.pageInfo.endCursor ?? null;
  }
}

describe("resume a stream", () => {
  it("loses, repeats and reorders nothing when the reader hangs up twice", async () => {
    const { startRun } = await story()
      .client("operator")
      .mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const first = await watchAndHangUp(story().client("operator"), startRun.id, null, 5);
    const second = await watchAndHangUp(story().client("operator"), startRun.id, first.at(-1)?.cursor ?? null, 9);
    const third = await collectEvents(story().client("operator"), startRun.id, second.at(-1)?.cursor);
    const seen = [...first, ...second, ...third];
    expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, index) => index + 1));
    expect(seen.at(-1)?.__typename).toBe("RunFinished");
    expect(seen.map(({ seq, cursor }) => ({ seq, cursor }))).toEqual(
      await readLog(story().client("viewer"), startRun.id),
    );
  });

  it("joins the snapshot of a run and its events without a hole", async () => {
    const client = story().client("operator");
    const { startRun } = await client.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const rest = await collectEvents(client, startRun.id, startRun.cursor);
    const all = await collectEvents(client, startRun.id);
    expect(rest.length).toBeLessThan(all.length);
    expect(rest.map(({ seq }) => seq)).toEqual(all.slice(all.length - rest.length).map(({ seq }) => seq));
  });

  it("completes at once for a reader who comes back after the end", async () => {
    const client = story().client("operator");
    const { startRun } = await client.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const all = await collectEvents(client, startRun.id);
    expect(await collectEvents(client, startRun.id, all.at(-1)?.cursor)).toEqual([]);
  });

  it("refuses the cursor of another run", async () => {
    const client = story().client("operator");
    const start = () => client.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const [one, other] = [await start(), await start()];
    await expect(collectEvents(client, one.startRun.id, other.startRun.cursor)).rejects.toMatchObject({
      code: "BAD_USER_INPUT",
      reason: "CURSOR_INVALID",
    });
  });
});
