import { execFile } from "node:child_process";
import { join } from "node:path";
import { newId } from "@sba/platform/ids";
import { openQueue } from "@sba/platform/queue";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { expect, test } from "vitest";

const database = useDatabase();

interface Answer {
  readonly code: number;
  readonly said: string;
}

/** Runs the command as an operator of this file's database. */
function jobs(...args: readonly string[]): Promise<Answer> {
  const { app, system } = database().urls;
  const env = { ...process.env, DATABASE_URL: app, DATABASE_SYSTEM_URL: system, REDIS_URL: "", LOG_LEVEL: "silent" };
  return new Promise((resolve) => {
    execFile(process.execPath, [join(import.meta.dirname, "jobs.ts"), ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error ? 1 : 0, said: stdout + stderr });
    });
  });
}

test("shows what was given up and has it tried anew", async () => {
  const queue = await openQueue({ systemUrl: database().urls.system });
  const id = newId();
  const caller = {
    tenantId: newId(),
    principalId: newId(),
    principalKind: "USER",
    permissions: [],
    requestId: "r",
  } as const;
  await queue.add([
    {
      ...{
        id,
        queue: "knowledge",
        name: "knowledge.ingestion.unheardOf",
        attempts: 1,
        backoffMs: 1,
        runAt: new Date(),
      },
      envelope: { caller, payload: {} },
    },
  ]);
  const { handlers } = await import("../workers/src/handlers.ts");
  const drain = await queue.startWorkers(handlers, { concurrency: 1 });
  await eventually(async () => (await queue.counts("knowledge")).failed === 1);
  await drain();

  const listed = await jobs();
  expect(listed.said).toContain("knowledge: 1 given up, 0 waiting, 0 in hand, 0 for later");
  expect(listed.said).toMatch(new RegExp(`${id}  knowledge.ingestion.unheardOf  after \\d attempts: .*JOB_UNKNOWN`));
  expect(await jobs("--retry", id)).toEqual({ code: 0, said: `knowledge: ${id} is tried anew.\n` });
  expect(await queue.counts("knowledge")).toMatchObject({ failed: 0, waiting: 1 });
  expect(await jobs("--retry", id)).toMatchObject({
    code: 1,
    said: expect.stringContaining(`no job ${id} was given up`),
  });
  await queue.close();
});
