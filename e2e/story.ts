import { dirname } from "node:path";
import {
  ApprovalsDocument,
  createClient,
  RunEventsDocument,
  type ApprovalsQuery,
  type Client,
  type RunEventsSubscription,
} from "@sba/client";
import { parseId } from "@sba/platform/ids";
import { eventually } from "@sba/testkit/eventually";
import { changeRows as changeRowsOf } from "@sba/testkit/running-system";
import { afterAll, beforeAll, inject } from "vitest";
import { readReady, untilReady, type Ready } from "./system.ts";

/** What stories have in common: clients of the shared system, as the people and programs of the demo tenants. */

type Role = keyof Ready["tenants"][number]["tokens"];
type PendingApproval = ApprovalsQuery["approvals"]["edges"][number]["node"];
export type RunEvent = RunEventsSubscription["runEvents"];

export interface Story {
  /** A client of the first (0) or second (1) demo tenant. */
  client(role: Role, tenant?: 0 | 1): Client;
  /** A client with a token of the story's own, or none. */
  clientWith(token: string | undefined): Client;
  ready(): Promise<Ready>;
  readonly graphqlUrl: string;
}

/** Opens clients of the shared system; call it at the top of the file. */
export function useSystem(): () => Story {
  let ready: Ready | undefined;
  const opened: Client[] = [];
  beforeAll(async () => {
    ready = await untilReady(inject("readyFile"));
  });
  afterAll(async () => {
    await Promise.all(opened.map((client) => client.close()));
  });
  return () => {
    if (!ready) throw new Error("the system is there once the file's tests run");
    const { graphqlUrl, subscriptionsUrl, tenants } = ready;
    const clientWith = (token: string | undefined): Client => {
      const client = createClient({ url: graphqlUrl, subscriptionsUrl, ...(token === undefined ? {} : { token }) });
      opened.push(client);
      return client;
    };
    return {
      clientWith,
      client: (role, tenant = 0) => clientWith(tenants[tenant]?.tokens[role]),
      ready: () => readReady(inject("readyFile")),
      graphqlUrl,
    };
  };
}

/** Every event of a run until the stream completes. */
export async function collectEvents(client: Client, runId: string, after?: string): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId, after: after ?? null }))
    events.push(runEvents);
  return events;
}

/** What is the same whenever an event is read: neither links that expire nor what other domains say of it by now. */
export function asRecorded(events: readonly RunEvent[]): unknown {
  return JSON.parse(JSON.stringify(events, (name, value: unknown) => (TODAYS.has(name) ? undefined : value)));
}

const TODAYS: ReadonlySet<string> = new Set(["downloadUrl", "tenant", "cost", "displayName"]);

/** What a run waits for a person to decide, once it does. */
export async function pendingApproval(client: Client, runId: string): Promise<PendingApproval> {
  return eventually(
    async () => {
      const { approvals } = await client.query(ApprovalsDocument, { filter: { status: ["PENDING"], runId } });
      return approvals.edges[0]?.node;
    },
    { timeoutMs: 60_000 },
  );
}

/** The text that a reader has on the screen: what a restarted step had streamed is dropped. */
export function textOf(events: readonly RunEvent[]): string {
  const byStep = new Map<number, string>();
  let step = 0;
  for (const event of events) {
    if (event.__typename === "StepStarted") step = event.step.number;
    if (event.__typename === "StepRestarted") byStep.delete(event.step.number);
    if (event.__typename === "TokenDelta") byStep.set(step, (byStep.get(step) ?? "") + event.text);
  }
  return [...byStep.values()].join("");
}

export { eventually };

/** Changes rows of the shared system, as only time or another release would; returns how many. Ids are public. */
export function changeRows(statement: string, ...ids: readonly string[]): Promise<number> {
  const uuids = ids.map((id) => parseId(id)?.uuid);
  return changeRowsOf(dirname(inject("readyFile")), statement, uuids);
}
