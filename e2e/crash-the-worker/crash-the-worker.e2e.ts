import { RunDocument, RunEventsDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { collectEvents, eventually, textOf, useSystem, type RunEvent } from "../story.ts";

const story = useSystem();
const RUNS = 6;
/** From the kill to the end of the last run, a new worker's start included. */
const RESUMED_WITHIN_MS = 10_000;

describe("crash the worker", () => {
  it("completes every run within 10 s of a kill -9 in their middle, and meters each step once", async () => {
    const client = story().client("operator");
    const started = await Promise.all(
      Array.from({ length: RUNS }, (_, index) =>
        client.mutate(StartRunDocument, { agentKey: "handbook", prompt: `${QUESTION} (${index})` }),
      ),
    );
    const [first] = started;
    for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId: first!.startRun.id })) {
      if (runEvents.__typename === "ToolRequested") break;
    }
    const { pids } = await story().ready();
    process.kill(pids.worker, "SIGKILL");
    const killedAt = performance.now();

    const journals = await Promise.all(started.map(({ startRun }) => collectEvents(client, startRun.id)));
    const resumedMs = performance.now() - killedAt;
    for (const [index, events] of journals.entries()) {
      const { run } = await client.query(RunDocument, { id: started[index]!.startRun.id });
      expect(run.status).toBe("COMPLETED");
      expect(textOf(events)).toBe(run.output);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, position) => position + 1));
      expectOnceMetered(events, run.usage ?? []);
    }
    expect(resumedMs).toBeLessThan(RESUMED_WITHIN_MS);
    await eventually(async () => (await story().ready()).pids.worker !== pids.worker, { timeoutMs: RESUMED_WITHIN_MS });
  });
});

/** Each finished step is metered once, whatever was tried again. */
function expectOnceMetered(events: readonly RunEvent[], usage: readonly { meter: string; quantity: string }[]): void {
  const finished = events.filter((event) => event.__typename === "StepFinished");
  const tools = finished.filter((event) => event.__typename === "StepFinished" && event.step.type === "TOOL").length;
  expect(usage).toContainEqual({ meter: "tool.called", quantity: String(tools) });
  expect(usage).toContainEqual({ meter: "run.started", quantity: "1" });
  const numbers = finished.map((event) => (event.__typename === "StepFinished" ? event.step.number : 0));
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  const announced = events.flatMap((event) => (event.__typename === "UsageRecorded" ? event.usage : []));
  for (const { meter, quantity } of usage) {
    const sum = announced
      .filter((line) => line.meter === meter)
      .reduce((total, line) => total + BigInt(line.quantity), 0n);
    expect(String(sum), meter).toBe(quantity);
  }
}
