import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { eventually } from "@sba/testkit/eventually";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { serializeCaller, type Caller } from "./caller.ts";
import { platformErrors } from "./errors.ts";
import { newId } from "./ids.ts";
import { defineJob, handle, type Job, type JobContext, type JobHandler, type OutboxRow } from "./jobs.ts";
import { migrateQueue } from "./queue-postgres.ts";
import { openQueue, type Queue } from "./queue.ts";
import { holdJob } from "./queue.test.child.ts";
import { currentTraceId, startTelemetry } from "./telemetry.ts";

const database = useDatabase({ connect: false });
const redis = useRedis();
const caller = aCaller({ permissions: ["run:start"] });

const payloadSchema = z.object({ label: z.string() });
type Payload = z.infer<typeof payloadSchema>;

interface Backend {
  readonly name: string;
  readonly redisUrl: () => string | undefined;
}
const backends: readonly Backend[] = [
  { name: "Postgres", redisUrl: () => undefined },
  { name: "Redis", redisUrl: () => redis().url },
];

function rowOf(job: Job<Payload>, label: string, change: Partial<OutboxRow> = {}): OutboxRow {
  const { queue, name, attempts, backoffMs } = job;
  return {
    id: newId(),
    queue,
    name,
    attempts,
    backoffMs,
    runAt: new Date(),
    envelope: { caller: serializeCaller(caller), payload: { label } },
    ...change,
  };
}

describe.each(backends)("the queue on $name", ({ redisUrl }) => {
  const opened: Queue[] = [];
  const children: ChildProcess[] = [];
  let job: Job<Payload>;

  const open = async (): Promise<Queue> => {
    const queue = await openQueue({ systemUrl: database().urls.system, redisUrl: redisUrl() });
    opened.push(queue);
    return queue;
  };
  /** A queue with workers that do `run`. */
  const work = async (run: JobHandler<Payload>["run"], concurrency = 4): Promise<Queue> => {
    const queue = await open();
    await queue.startWorkers([handle(job, run)], { concurrency });
    return queue;
  };

  beforeEach(() => {
    job = defineJob("test.job", payloadSchema, { queue: `test-${newId()}`, attempts: 3, backoffMs: 20 });
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    await Promise.all(opened.splice(0).map((queue) => queue.close({ graceMs: 0, deadlineMs: 2_000 })));
  });

  test("runs a job as its caller, with its payload", async () => {
    const ran = Promise.withResolvers<[Caller, Payload, JobContext]>();
    const queue = await work((...all) => {
      ran.resolve(all);
      return Promise.resolve();
    });
    await queue.add([rowOf(job, "one")]);
    const [seenCaller, payload, context] = await ran.promise;
    expect(seenCaller).toEqual(caller);
    expect(payload).toEqual({ label: "one" });
    expect(context).toMatchObject({ attempt: 1, signal: { aborted: false } });
    await eventually(async () => (await queue.counts(job.queue)).completed === 1);
  });

  test("continues the trace that asked for the job", async () => {
    const stop = startTelemetry({ serviceName: "test" });
    try {
      const traceId = "0af7651916cd43dd8448eb211c80319c";
      const seen = Promise.withResolvers<string | undefined>();
      const queue = await work(() => {
        seen.resolve(currentTraceId());
        return Promise.resolve();
      });
      const row = rowOf(job, "traced");
      await queue.add([{ ...row, envelope: { ...row.envelope, traceparent: `00-${traceId}-b7ad6b7169203331-01` } }]);
      expect(await seen.promise).toBe(traceId);
    } finally {
      await stop();
    }
  });

  test("runs a delayed job when it is due and not before", async () => {
    const ran = Promise.withResolvers<number>();
    const queue = await work(() => {
      ran.resolve(Date.now());
      return Promise.resolve();
    });
    const runAt = new Date(Date.now() + 400);
    await queue.add([rowOf(job, "later", { runAt })]);
    expect((await queue.counts(job.queue)).delayed).toBe(1);
    expect(await ran.promise).toBeGreaterThanOrEqual(runAt.getTime() - 1);
  });

  test("repeats what failed, with doubling pauses, and keeps what is given up with its reason", async () => {
    const attempts: number[] = [];
    const times: number[] = [];
    const queue = await work((_caller, _payload, { attempt }) => {
      attempts.push(attempt);
      times.push(Date.now());
      throw new Error("not today");
    });
    await queue.add([rowOf(job, "one", { backoffMs: 40 })]);
    await eventually(async () => (await queue.counts(job.queue)).failed === 1);
    expect(attempts).toEqual([1, 2, 3]);
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(39);
    expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(79);
    expect(await queue.listFailed(job.queue, 10)).toMatchObject([{ name: job.name, reason: "not today", attempts: 3 }]);
  });

  test("tries a job anew that was given up, as often as the first time, and no other", async () => {
    let isBroken = true;
    const attempts: number[] = [];
    const queue = await work((_caller, _payload, { attempt }) => {
      attempts.push(attempt);
      return isBroken ? Promise.reject(new Error("not today")) : Promise.resolve();
    });
    const row = rowOf(job, "one", { backoffMs: 1 });
    await queue.add([row]);
    await eventually(async () => (await queue.counts(job.queue)).failed === 1);
    expect(await queue.retryFailed(job.queue, row.id)).toBe(true);
    await eventually(async () => attempts.length === 6 && (await queue.counts(job.queue)).failed === 1);
    isBroken = false;
    expect(await queue.retryFailed(job.queue, row.id)).toBe(true);
    await eventually(async () => (await queue.counts(job.queue)).completed === 1);
    expect(attempts).toEqual([1, 2, 3, 1, 2, 3, 1]);
    expect(await queue.retryFailed(job.queue, row.id)).toBe(false);
    expect(await queue.retryFailed(job.queue, newId())).toBe(false);
  });

  test("waits as long as the error asks for", async () => {
    const times: number[] = [];
    const queue = await work(() => {
      times.push(Date.now());
      if (times.length === 1) throw platformErrors.SUBGRAPH_UNAVAILABLE({ retryAfterMs: 300 });
      return Promise.resolve();
    });
    await queue.add([rowOf(job, "one", { backoffMs: 1 })]);
    await eventually(async () => (await queue.counts(job.queue)).completed === 1);
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(299);
  });

  test("does not repeat an error that cannot go away", async () => {
    let runs = 0;
    const queue = await work(() => {
      runs++;
      throw platformErrors.INPUT_INVALID({ message: "never" });
    });
    await queue.add([rowOf(job, "one")]);
    await eventually(async () => (await queue.counts(job.queue)).failed === 1);
    expect(runs).toBe(1);
    expect((await queue.listFailed(job.queue, 10))[0]?.reason).toBe("INPUT_INVALID: never");
  });

  test("runs a job once that was handed over three times", async () => {
    const labels: string[] = [];
    const queue = await work((_caller, { label }) => {
      labels.push(label);
      return Promise.resolve();
    });
    const [row, marker] = [rowOf(job, "twice"), rowOf(job, "marker")];
    await queue.add([row]);
    await queue.add([row, rowOf(job, "beside")]);
    await eventually(async () => (await queue.counts(job.queue)).completed === 2);
    await queue.add([row]);
    await queue.add([marker]);
    await eventually(() => labels.includes("marker"));
    expect(labels.toSorted()).toEqual(["beside", "marker", "twice"]);
  });

  test("puts a job that nobody handles into the failed set and says so", async () => {
    const queue = await work(() => Promise.resolve());
    await queue.add([rowOf({ ...job, name: "test.unknown" }, "one")]);
    await eventually(async () => (await queue.counts(job.queue)).failed === 1);
    expect((await queue.listFailed(job.queue, 10))[0]?.reason).toContain(
      "JOB_UNKNOWN: no handler for the job test.unknown",
    );
  });

  test("puts a job that does not parse into the failed set and says what is wrong", async () => {
    const queue = await work(() => Promise.resolve());
    const good = rowOf(job, "one");
    await queue.add([
      { ...good, id: newId(), envelope: { ...good.envelope, payload: { label: 1 } } },
      { ...good, id: newId(), envelope: { ...good.envelope, caller: { ...good.envelope.caller, tenantId: "x" } } },
    ]);
    await eventually(async () => (await queue.counts(job.queue)).failed === 2);
    const reasons = (await queue.listFailed(job.queue, 10)).map(({ reason }) => reason).toSorted();
    expect(reasons).toEqual([
      expect.stringContaining("JOB_INVALID: the envelope"),
      expect.stringContaining("JOB_INVALID: the payload"),
    ]);
    expect(reasons.join()).toContain("tenantId");
  });

  test("refuses two handlers of one job", async () => {
    const queue = await open();
    const twice = [handle(job, () => Promise.resolve()), handle(job, () => Promise.resolve())];
    await expect(queue.startWorkers(twice, { concurrency: 1 })).rejects.toThrow("two handlers");
  });

  test("shares the work between two processes' workers", async () => {
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    // Each can end only when the other has begun: one worker alone, with its one job at a time, would wait for ever.
    const queue = await work(async () => {
      first.resolve();
      await second.promise;
    }, 1);
    await work(async () => {
      second.resolve();
      await first.promise;
    }, 1);
    await queue.add([rowOf(job, "one"), rowOf(job, "two")]);
    await eventually(async () => (await queue.counts(job.queue)).completed === 2);
  });

  test("waits at its close for the job in hand and takes no other", async () => {
    const [begun, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const observer = await open();
    let ended = false;
    const queue = await work(async () => {
      begun.resolve();
      await release.promise;
      ended = true;
    }, 1);
    await queue.add([rowOf(job, "one"), rowOf(job, "two")]);
    await begun.promise;
    const closed = queue.close().then(() => ended);
    release.resolve();
    expect(await closed).toBe(true);
    expect(await observer.counts(job.queue)).toMatchObject({ completed: 1, waiting: 1, active: 0 });
  });

  test("interrupts at its close a job that takes too long, which runs again elsewhere without a counted attempt", async () => {
    const begun = Promise.withResolvers<void>();
    const queue = await work(
      (_caller, _payload, { signal }) =>
        new Promise((_, reject) => {
          begun.resolve();
          signal.addEventListener("abort", () => {
            reject(platformErrors.OPERATION_CANCELLED());
          });
        }),
    );
    await queue.add([rowOf(job, "one")]);
    await begun.promise;
    await queue.close({ graceMs: 50, deadlineMs: 4_000 });
    const attempts: number[] = [];
    const next = await work((_caller, _payload, { attempt }) => {
      attempts.push(attempt);
      return Promise.resolve();
    });
    await eventually(async () => (await next.counts(job.queue)).completed === 1);
    expect(attempts).toEqual([1]);
  });

  test("leaves a job that ignores its signal to another worker", async () => {
    const begun = Promise.withResolvers<void>();
    const queue = await work(async () => {
      begun.resolve();
      await new Promise(() => undefined);
    });
    await queue.add([rowOf(job, "one")]);
    await begun.promise;
    const before = Date.now();
    await queue.close({ graceMs: 10, deadlineMs: 100 });
    expect(Date.now() - before).toBeLessThan(2_000);
  });

  test(
    "runs a job again within 10 s each time the process that has it is killed, and never gives it up for that",
    { timeout: 25_000 },
    async () => {
      const hold = holdJob(job.queue);
      const queue = await open();
      const startChild = async (): Promise<ChildProcess> => {
        const child = fork(join(import.meta.dirname, "queue.test.child.ts"), [
          database().urls.system,
          redisUrl() ?? "",
          job.queue,
        ]);
        children.push(child);
        await once(child, "message");
        return child;
      };
      const [first, second] = await Promise.all([startChild(), startChild()]);
      await queue.add([rowOf(hold, "held")]);
      const victim = await Promise.race(
        [first, second].map(async (child) => {
          await once(child, "message");
          return child;
        }),
      );
      const survivor = victim === first ? second : first;
      const killedAt = Date.now();
      victim.kill("SIGKILL");
      expect((await once(survivor, "message"))[0]).toEqual({ begun: "held" });
      expect(Date.now() - killedAt).toBeLessThan(10_000);
      survivor.kill("SIGKILL");
      const killedAgainAt = Date.now();
      const done = Promise.withResolvers<void>();
      await queue.startWorkers(
        [
          handle(hold, () => {
            done.resolve();
            return Promise.resolve();
          }),
        ],
        { concurrency: 1 },
      );
      await done.promise;
      expect(Date.now() - killedAgainAt).toBeLessThan(10_000);
      await eventually(async () => (await queue.counts(job.queue)).completed === 1);
    },
  );
});

test("goes on in Postgres when every connection was cut, with the job in hand and with those that come", async () => {
  const job = defineJob("test.job", payloadSchema, { queue: `test-${newId()}`, backoffMs: 20 });
  const queue = await openQueue({ systemUrl: database().urls.system });
  try {
    const begun = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const ran: string[] = [];
    const work = handle(job, async (_caller, { label }) => {
      begun.resolve();
      await release.promise;
      ran.push(label);
    });
    await queue.startWorkers([work], { concurrency: 1 });
    await queue.add([rowOf(job, "in hand")]);
    await begun.promise;
    await database().owner.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    release.resolve();
    await eventually(() => queue.add([rowOf(job, "after")]).then(() => true));
    await eventually(() => ran.includes("in hand") && ran.includes("after"));
  } finally {
    await queue.close({ graceMs: 0, deadlineMs: 2_000 });
  }
});

test("says that its backend cannot be reached or is not migrated", async () => {
  await expect(openQueue({ systemUrl: "postgres://x:y@127.0.0.1:1/none" })).rejects.toMatchObject({
    code: "DATABASE_UNAVAILABLE",
  });
  await expect(openQueue({ systemUrl: database().urls.app })).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  await expect(openQueue({ systemUrl: database().urls.system, redisUrl: "redis://127.0.0.1:1" })).rejects.toMatchObject(
    { kind: "unavailable" },
  );
});

test("migrates the queue's schema once, however often and by however many at once it is asked", async () => {
  const { admin } = database().urls;
  for (const atOnce of [2, 16]) await Promise.all(Array.from({ length: atOnce }, () => migrateQueue(admin)));
  const queue = await openQueue({ systemUrl: database().urls.system });
  expect(await queue.counts("untouched")).toMatchObject({ waiting: 0 });
  await queue.close();
});

test("gives the application role no way into the queue's schema", async () => {
  const { rows } = await database().owner.query<{ usage: boolean; owned: string }>(`
    SELECT has_schema_privilege('sba_app', 'bullmq', 'USAGE') AS usage,
           (SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = 'sba_app') AS owned`);
  expect(rows).toEqual([{ usage: false, owned: "0" }]);
});
