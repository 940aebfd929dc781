import {
  CancelRunDocument,
  createClient,
  MeDocument,
  RunDocument,
  RunEventsDocument,
  runLive,
  StartRunDocument,
  approvalsLive,
  type RunEventsSubscription,
  type TransportName,
} from "@sba/client";
import { Client as UrqlClient, fetchExchange, subscriptionExchange } from "@urql/core";
import { print } from "graphql";
import { createClient as createSocketClient } from "graphql-ws";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { eventually, textOf, useSystem, type RunEvent } from "../story.ts";

const story = useSystem();

const credentials = async () => {
  const { graphqlUrl, subscriptionsUrl, tenants } = await story().ready();
  return { graphqlUrl, subscriptionsUrl, token: tenants[0]?.tokens.operator ?? "" };
};
const seqs = (events: readonly RunEvent[]) => events.map(({ seq }) => seq);
const contiguous = (events: readonly RunEvent[]) => events.map((_, index) => index + 1);

describe("the generated documents", () => {
  it("work with urql", async () => {
    const { graphqlUrl, subscriptionsUrl, token } = await credentials();
    const authorization = `Bearer ${token}`;
    const socket = createSocketClient({ url: subscriptionsUrl, connectionParams: { authorization }, retryAttempts: 0 });
    const client = new UrqlClient({
      url: graphqlUrl,
      preferGetMethod: false,
      fetchOptions: { headers: { authorization } },
      exchanges: [
        fetchExchange,
        subscriptionExchange({
          forwardSubscription: ({ query = "", variables }) => ({
            subscribe: (sink) => ({
              unsubscribe: socket.subscribe({ query, variables: { ...variables } }, sink as never),
            }),
          }),
        }),
      ],
    });
    const me = await client.query(MeDocument, {}).toPromise();
    expect(me.data?.me.displayName).toBe("Otto Operator");
    const started = await client.mutation(StartRunDocument, { agentKey: "handbook", prompt: QUESTION }).toPromise();
    const runId = started.data?.startRun.id ?? "";
    const events: RunEvent[] = [];
    await new Promise<void>((resolve) => {
      const { unsubscribe } = client.subscription(RunEventsDocument, { runId }).subscribe(({ data }) => {
        if (data) events.push(data.runEvents);
        if (data?.runEvents.__typename !== "RunFinished") return;
        unsubscribe();
        resolve();
      });
    });
    expect(seqs(events)).toEqual(contiguous(events));
    await socket.dispose();
  });

  it("work with graphql-ws alone, queries and mutations too", async () => {
    const { subscriptionsUrl, token } = await credentials();
    const socket = createSocketClient({
      url: subscriptionsUrl,
      connectionParams: { authorization: `Bearer ${token}` },
      retryAttempts: 0,
    });
    const ask = async <T>(query: string, variables: Record<string, unknown> = {}): Promise<T> => {
      for await (const { data } of socket.iterate<Record<string, unknown>>({ query, variables })) return data as T;
      throw new Error("nothing came");
    };
    const { startRun } = await ask<{ startRun: { id: string } }>(print(StartRunDocument), {
      agentKey: "handbook",
      prompt: QUESTION,
    });
    const events: RunEvent[] = [];
    const query = print(RunEventsDocument);
    for await (const { data } of socket.iterate<Record<string, unknown>>({ query, variables: { runId: startRun.id } }))
      events.push((data as unknown as RunEventsSubscription).runEvents);
    expect(seqs(events)).toEqual(contiguous(events));
    expect(events.at(-1)?.__typename).toBe("RunFinished");
    await socket.dispose();
  });
});

describe("a run", () => {
  it("is the same events over WebSocket, server-sent events and polling", async () => {
    const { graphqlUrl, subscriptionsUrl, token } = await credentials();
    const { startRun } = await story()
      .client("operator")
      .mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const read = async (transport: TransportName): Promise<RunEvent[]> => {
      const client = createClient({
        url: graphqlUrl,
        subscriptionsUrl,
        token,
        transports: [transport],
        pollEveryMs: 50,
      });
      const events: RunEvent[] = [];
      for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId: startRun.id })) {
        events.push(runEvents);
        if (events.length === 1) expect(client.connection.get()).toMatchObject({ status: "connected", transport });
      }
      await client.close();
      return events;
    };
    const [socket = [], sse, polled] = await Promise.all([read("websocket"), read("sse"), read("polling")]);
    const told = (events: readonly RunEvent[] = []) =>
      events.map(({ __typename, cursor, seq }) => [__typename, cursor, seq]);
    expect(seqs(socket)).toEqual(contiguous(socket));
    expect(told(sse)).toEqual(told(socket));
    expect(told(polled)).toEqual(told(socket));
    expect(textOf(sse)).toBe(textOf(socket));
  });

  it("is joined with what happens to it, whenever one begins to look", async () => {
    const client = story().client("operator");
    const { startRun } = await client.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const early = client.live(runLive, { runId: startRun.id });
    const stopEarly = early.subscribe(() => undefined);
    const { data: seen } = await eventually(() => early.get().isEnded && early.get(), { timeoutMs: 60_000 });
    const late = client.live(runLive, { runId: startRun.id });
    const stopLate = late.subscribe(() => undefined);
    const { data: read } = await eventually(() => late.get().isEnded && late.get());
    const { run } = await client.query(RunDocument, { id: startRun.id });
    for (const live of [seen, read]) {
      expect(live?.run).toMatchObject({ status: "COMPLETED", output: run.output });
      expect(live?.text).toBe(run.output);
      expect(live?.run.cost).toMatchObject(run.cost ?? {});
      expect(live?.artifacts.map(({ id }) => id)).toEqual(run.artifacts.map(({ id }) => id));
      expect(live?.steps.map(({ number }) => number)).toEqual(run.steps.edges.map(({ node }) => node.number));
    }
    stopEarly();
    stopLate();
  });

  it("that asks for approval is in the live inbox until it is decided", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const inbox = owner.live(approvalsLive, {});
    const stop = inbox.subscribe(() => undefined);
    await eventually(() => inbox.get().connection.status === "connected");
    const { startRun } = await operator.mutate(StartRunDocument, {
      agentKey: "assistant",
      prompt: "Create a task to oil the balance",
    });
    const mine = () => inbox.get().data?.find(({ run }) => run?.id === startRun.id);
    expect(await eventually(mine, { timeoutMs: 60_000 })).toMatchObject({ action: "task.create", mayDecide: true });
    await operator.mutate(CancelRunDocument, { runId: startRun.id });
    await eventually(() => mine() === undefined);
    stop();
  });
});
