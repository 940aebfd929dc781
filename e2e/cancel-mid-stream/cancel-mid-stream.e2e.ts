import { CancelRunDocument, CreateAgentDocument, RunDocument, RunEventsDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { SLOW_MODEL } from "../slow-model.ts";
import { asRecorded, collectEvents, textOf, useSystem, type RunEvent } from "../story.ts";

const story = useSystem();
/** What is promised to whoever cancels. */
const STOPS_WITHIN_MS = 1_000;
const PIECES = 5;

describe("cancel mid-stream", () => {
  it("stops the model in the middle of its words within a second, and keeps what it has said", async () => {
    const [owner, operator] = [story().client("owner"), story().client("operator")];
    const key = `talker-${Date.now().toString(36)}`;
    await owner.mutate(CreateAgentDocument, {
      input: { key, name: "Talker", instructions: "Talk.", model: SLOW_MODEL, tools: [] },
    });
    const { startRun } = await operator.mutate(StartRunDocument, { agentKey: key, prompt: "Tell me everything." });
    const events: RunEvent[] = [];
    let pieces = 0;
    for await (const { runEvents } of operator.subscribe(RunEventsDocument, { runId: startRun.id })) {
      events.push(runEvents);
      if (runEvents.__typename !== "TokenDelta" || ++pieces !== PIECES) continue;
      const { cancelRun } = await operator.mutate(CancelRunDocument, { runId: startRun.id, reason: "that will do" });
      expect(cancelRun.status).toBe("CANCELLING");
    }

    expect(events.flatMap((event) => (event.__typename === "RunStatusChanged" ? [event.to] : []))).toEqual([
      ...["CREATED", "EXECUTING", "CANCELLING", "CANCELLED"],
    ]);
    const asked = events.find((event) => event.__typename === "RunStatusChanged" && event.to === "CANCELLING");
    const last = events.at(-1);
    expect(last).toMatchObject({ __typename: "RunFinished", run: { status: "CANCELLED" } });
    // By the clock that stamps events: what the test's own processor was busy with is not the system's.
    expect(Date.parse(last!.at) - Date.parse(asked!.at)).toBeLessThan(STOPS_WITHIN_MS);

    const { run } = await operator.query(RunDocument, { id: startRun.id });
    expect(run).toMatchObject({ status: "CANCELLED", output: textOf(events) });
    expect(run.output).toMatch(/^word 1 word 2 /);
    expect(asRecorded(await collectEvents(operator, startRun.id))).toEqual(asRecorded(events));
    await expect(operator.mutate(CancelRunDocument, { runId: startRun.id })).rejects.toMatchObject({
      ...{ code: "CONFLICT", reason: "AGENT_RUN_ENDED" },
    });
  });
});
