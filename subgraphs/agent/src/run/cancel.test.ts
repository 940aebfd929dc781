import { withTenant } from "@sba/platform/db";
import { eventually } from "@sba/testkit/eventually";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { expect, it } from "vitest";
import { findApprovalsOfRuns } from "../approval/approval.ts";
import { useScriptedModels, type Answer } from "../model/testing.ts";
import { cancelRun } from "./cancel.ts";
import { getRun, startRun } from "./run.ts";
import { anAgent, calls, expectSoundRuns, workOn } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;

it("asks nobody for what the model wanted when the run was cancelled before that was committed", async () => {
  const caller = aCaller();
  const asked = Promise.withResolvers<() => void>();
  const wants = calls(["task.create", { title: "Renew the lease" }]);
  const answer: Answer = (response, request) => {
    asked.resolve(() => void wants(response, request));
  };
  model().answer = answer;
  const agentKey = await anAgent(caller, { tools: ["task.create"] });
  const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
  const worker = workOn(caller, runId);
  const finish = await asked.promise;
  const { owner } = database();
  await owner.query("BEGIN");
  await owner.query("SELECT FROM agent.run WHERE id = $1 FOR UPDATE", [runId]);
  /** Those that wait for the row, but for the lease's own renewal. */
  const waiting = (count: number) =>
    eventually(async () => {
      const [found] = await withTenant(
        caller,
        (tx) => tx.sql<{ waiting: number }>`
          SELECT count(*)::int AS waiting FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock' AND query NOT LIKE '%is_suspended%'`,
      );
      return found!.waiting >= count;
    });
  const cancelling = cancelRun(caller, { runId });
  await waiting(1);
  finish();
  await waiting(2);
  await owner.query("COMMIT");
  await cancelling;
  await worker;
  expect(await getRun(caller, runId)).toMatchObject({ status: "CANCELLED", dueAt: null, leaseExpiresAt: null });
  expect(await findApprovalsOfRuns(caller, [runId])).toEqual([]);
  expect(await withTenant(caller, (tx) => tx.sql`SELECT FROM agent.approval WHERE status = 'PENDING'`)).toEqual([]);
  await expectSoundRuns(database(), caller);
});
