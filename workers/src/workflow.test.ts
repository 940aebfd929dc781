import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decideApproval, findApprovals } from "@sba/agent/index";
import { givenTenant } from "@sba/identity/testing";
import type { Caller } from "@sba/platform/caller";
import { reader } from "@sba/platform/reader";
import { aColleagueOf, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { createWorkflow, getWorkflowRun, startWorkflowRun } from "@sba/workflow/index";
import { afterAll, beforeAll, expect, test } from "vitest";

/** The arrows of workflow through the real worker process: what is announced below moves a workflow run on. */

const database = useDatabase();
const dataDir = mkdtempSync(join(tmpdir(), "sba-worker-"));
const PATIENCE = { timeoutMs: 15_000 };
let worker: ChildProcess;
let owner: Caller;

beforeAll(async () => {
  ({ owner } = await givenTenant());
  const { app, system } = database().urls;
  const service = { DATABASE_URL: app, DATABASE_SYSTEM_URL: system, DATA_DIR: dataDir, REDIS_URL: "" };
  worker = fork(join(import.meta.dirname, "main.ts"), {
    env: { ...process.env, ...service, LOG_LEVEL: "fatal", SECRET_KEY: "a".repeat(32) },
  });
  expect((await once(worker, "message"))[0]).toMatchObject({ type: "ready" });
  await eventually(async () => (await reader(owner).agent.count()) > 0 && (await reader(owner).workflow.count()) > 0);
}, 30_000);

afterAll(async () => {
  worker.kill("SIGTERM");
  await once(worker, "exit");
  rmSync(dataDir, { recursive: true, force: true });
});

const ended = (id: string) =>
  eventually(async () => {
    const run = await getWorkflowRun(owner, id);
    return run.endedAt === null ? undefined : run;
  }, PATIENCE);

test("completes a workflow when the run that it started has ended", { timeout: 30_000 }, async () => {
  const id = await startWorkflowRun(owner, { workflowKey: "agentic", input: { prompt: "How much leave is there?" } });
  expect(await ended(id)).toMatchObject({ status: "COMPLETED", output: { text: expect.any(String) as string } });
});

// Without the reaction it would look by itself after a minute.
test("goes on with a workflow when a person has decided", { timeout: 30_000 }, async () => {
  const steps = [{ key: "consent", kind: "approval", action: "Send the offer" }];
  await createWorkflow(owner, { key: "consent", name: "Consent", steps });
  const id = await startWorkflowRun(owner, { workflowKey: "consent", input: {} });
  const approval = await eventually(async () => {
    const step = await reader(owner).workflowStep.findFirst({ where: { workflowRunId: id, status: "WAITING" } });
    return step?.approvalId == null ? undefined : (await findApprovals(owner, [step.approvalId]))[0];
  }, PATIENCE);
  const { id: approvalId, fingerprint, version } = approval;
  await decideApproval(aColleagueOf(owner), {
    approvalId,
    decision: "APPROVED",
    fingerprint,
    expectedVersion: version,
  });
  expect(await ended(id)).toMatchObject({ status: "COMPLETED", output: { approved: true } });
});
