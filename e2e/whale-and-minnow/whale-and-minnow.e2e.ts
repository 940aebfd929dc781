import { CancelRunDocument, RunDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { collectEvents, useSystem } from "../story.ts";

const story = useSystem();
const BACKLOG = 120;
/** Of the backlog, when the minnow has had its turn: first come, first served would leave none. */
const LEFT_AT_LEAST = BACKLOG / 4;

describe("whale and minnow", () => {
  it("gives a tenant's only run its turn before another tenant's backlog", async () => {
    const [whale, minnow] = [story().client("operator", 0), story().client("operator", 1)];
    const backlog = await Promise.all(
      Array.from({ length: BACKLOG }, async (_, index) => {
        const { startRun } = await whale.mutate(StartRunDocument, {
          agentKey: "handbook",
          prompt: `${QUESTION} (${index})`,
        });
        return startRun.id;
      }),
    );
    const { startRun } = await minnow.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const events = await collectEvents(minnow, startRun.id);
    expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });

    const { run: small } = await minnow.query(RunDocument, { id: startRun.id });
    const runs = await Promise.all(backlog.map(async (id) => (await whale.query(RunDocument, { id })).run));
    const later = runs.filter(({ startedAt }) => startedAt === null || startedAt > small.startedAt!);
    expect(later.length).toBeGreaterThan(LEFT_AT_LEAST);
    // What is left is not needed; a run that ended meanwhile cannot be cancelled.
    await Promise.allSettled(backlog.map((runId) => whale.mutate(CancelRunDocument, { runId })));
    for (const runId of backlog) await collectEvents(whale, runId);
  });
});
