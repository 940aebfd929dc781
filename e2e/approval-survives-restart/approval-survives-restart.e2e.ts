import { ApprovalEventsDocument, DecideApprovalDocument, RunDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { changeRows, collectEvents, eventually, pendingApproval, useSystem, type RunEvent } from "../story.ts";

const story = useSystem();
const RESTARTED_WITHIN_MS = 60_000;

/** Ends server and worker as a power cut does; resolves when others have taken their places. */
async function killBoth(): Promise<void> {
  const { pids } = await story().ready();
  for (const pid of [pids.worker, pids.server]) process.kill(pid, "SIGKILL");
  await eventually(
    async () => {
      const now = (await story().ready()).pids;
      return now.server !== pids.server && now.worker !== pids.worker;
    },
    { timeoutMs: RESTARTED_WITHIN_MS },
  );
}

/** Everything of the run lies a week back, as if it had waited for so long. */
const A_WEEK_AGO = `
  WITH runs AS (
    UPDATE agent.run SET created_at = created_at - interval '7 days', started_at = started_at - interval '7 days' WHERE id = $1 RETURNING id),
  asked AS (
    UPDATE agent.approval SET created_at = created_at - interval '7 days' WHERE run_id = $1),
  steps AS (
    UPDATE agent.step SET started_at = started_at - interval '7 days', ended_at = ended_at - interval '7 days' WHERE run_id = $1),
  called AS (
    UPDATE integrations.tool_call SET requested_at = requested_at - interval '7 days' WHERE run_id = $1),
  told AS (
    UPDATE platform.event SET at = at - interval '7 days' WHERE stream = 'run:' || $1::text)
  SELECT * FROM runs`;

async function ask(prompt: string) {
  const { startRun } = await story().client("operator").mutate(StartRunDocument, { agentKey: "assistant", prompt });
  return { runId: startRun.id, asked: await pendingApproval(story().client("owner"), startRun.id) };
}

/** Decides what waits, as it was read before, and sees the run to its end. */
async function decide({ runId, asked }: Awaited<ReturnType<typeof ask>>): Promise<RunEvent[]> {
  const [owner, operator] = [story().client("owner"), story().client("operator")];
  const { id: approvalId, fingerprint, version } = asked;
  expect(await pendingApproval(owner, runId)).toMatchObject({ id: approvalId, fingerprint, version });
  for await (const { approvalEvents } of owner.subscribe(ApprovalEventsDocument)) {
    if (approvalEvents.approval.id === approvalId) break;
  }
  const decision = { approvalId, fingerprint, expectedVersion: version, decision: "APPROVED" as const };
  const { decideApproval } = await owner.mutate(DecideApprovalDocument, decision);
  expect(decideApproval.status).toBe("APPROVED");
  return collectEvents(operator, runId);
}

describe("an approval survives a restart", () => {
  it("of everything, and a week, and what was asked then runs once it is approved", async () => {
    const waiting = [
      await ask("Create a task to grease the bearings"),
      await ask("Create a task to grease the bearings"),
    ];
    await killBoth();
    expect(await changeRows(A_WEEK_AGO, waiting[1]!.runId)).toBe(1);
    for (const run of waiting) {
      const events = await decide(run);
      expect(events.filter(({ __typename }) => __typename === "ToolResulted")).toMatchObject([
        { toolCall: { name: "task.create", success: true } },
      ]);
      expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
      const { run: ended } = await story().client("operator").query(RunDocument, { id: run.runId });
      expect(ended.output).toContain("grease the bearings");
    }
  });
});
