import { RunEventLogDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { useSystem } from "../story.ts";

/** `GET /workflow/runs/{id}/events`: what curl, or a browser's EventSource, can follow. */

const story = useSystem();

interface Event {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

type Role = "owner" | "operator" | "viewer" | "partner";

async function open(id: string, headers: Record<string, string> = {}, role: Role | null = "viewer", tenant = 0) {
  const { tenants } = await story().ready();
  const token = role && tenants[tenant]?.tokens[role];
  return fetch(new URL(`/workflow/runs/${id}/events`, story().graphqlUrl), {
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
  });
}

/** Every event until the answer ends. */
async function read(response: Response): Promise<Event[]> {
  const frames = (await response.text()).split("\n\n").filter((frame) => frame !== "" && !frame.startsWith(":"));
  return frames.map((frame) => {
    const field = (name: string) =>
      frame
        .split("\n")
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2) ?? "";
    return { id: field("id"), event: field("event"), data: JSON.parse(field("data")) as Record<string, unknown> };
  });
}

async function startRun(): Promise<string> {
  const { startRun: run } = await story()
    .client("operator")
    .mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
  return run.id;
}

async function ask(query: string, variables: object): Promise<Record<string, { id: string }>> {
  const { tenants } = await story().ready();
  const response = await fetch(story().graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${tenants[0]?.tokens.owner}` },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = (await response.json()) as { data?: Record<string, { id: string }>; errors?: unknown };
  if (!data || errors) throw new Error(JSON.stringify(errors));
  return data;
}

describe("a stream without GraphQL", () => {
  it("carries the whole run, ends with it, and can be resumed from any id; after the last there is nothing", async () => {
    const runId = await startRun();
    const response = await open(runId);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    const events = await read(response);
    expect(events.map(({ data }) => data["seq"])).toEqual(events.map((_, index) => index + 1));
    expect(events.at(-1)).toMatchObject({ event: "RunFinished", data: { runId, run: { status: "COMPLETED" } } });
    const log = await story().client("viewer").query(RunEventLogDocument, { runId });
    expect(events.slice(0, 100).map(({ id, event }) => [id, event])).toEqual(
      log.runEventLog.edges.map(({ cursor, node }) => [cursor, node.__typename]),
    );
    expect(await read(await open(runId, { "last-event-id": events[3]?.id ?? "" }))).toEqual(events.slice(4));
    expect(await open(runId, { "last-event-id": events.at(-1)?.id ?? "" })).toMatchObject({ status: 204 });
  });

  it("carries a workflow run the same way", async () => {
    const key = `read-${Date.now()}`;
    const steps = [{ key: "find", kind: "tool-call", tool: "knowledge.search", params: { query: "flutter" } }];
    await ask(
      `mutation($key: String!, $steps: [JSON!]!) { createWorkflow(input: { key: $key, name: "Read", steps: $steps }) { id } }`,
      { key, steps },
    );
    const { startWorkflowRun } = await ask(
      `mutation($key: String!) { startWorkflowRun(input: { workflowKey: $key, input: {} }) { id } }`,
      { key },
    );
    const id = startWorkflowRun?.id ?? "";
    const events = await read(await open(id));
    expect(events.at(-1)).toMatchObject({ event: "WorkflowRunFinished", data: { workflowRunId: id } });
    expect(await read(await open(id, { "last-event-id": events[0]?.id ?? "" }))).toEqual(events.slice(1));
    expect(await open(id, { "last-event-id": events.at(-1)?.id ?? "" })).toMatchObject({ status: 204 });
  });

  it("is refused with a status and a typed error before anything is streamed", async () => {
    const [runId, otherId] = [await startRun(), await startRun()];
    const otherCursor = (await read(await open(otherId)))[0]?.id ?? "";
    const refusals = [
      [await open(runId, {}, null), 401, "CREDENTIALS_MISSING"],
      [await open(runId, {}, "partner"), 403, "PERMISSION_MISSING"],
      [await open(runId, {}, "owner", 1), 404, "AGENT_RUN_NOT_FOUND"],
      [await open("run_nonsense"), 400, "ID_INVALID"],
      [await open(runId, { "last-event-id": otherCursor }), 400, "CURSOR_INVALID"],
      [await open(runId, { accept: "application/json" }), 406, "EVENT_STREAM_NOT_ACCEPTED"],
    ] as const;
    for (const [response, status, reason] of refusals) {
      expect([response.status, await response.json()]).toMatchObject([
        status,
        { errors: [{ extensions: { reason } }] },
      ]);
    }
  });
});
