import { Window } from "happy-dom";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";

// Before the libraries that look for it when they are loaded. Only these: fetch and WebSocket are those of Node.
const window = new Window();
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
const { act, cleanup, renderHook, waitFor } = await import("@testing-library/react");
const { createElement, StrictMode } = await import("react");
const { ApolloClient, InMemoryCache } = await import("@apollo/client");
const { ApolloProvider } = await import("@apollo/client/react");
const { createClient } = await import("../client.ts");
const { startApi } = await import("../testing.ts");
const library = await import("./index.ts");

import type { ReactNode } from "react";
import type { Client } from "../client.ts";
import type { Api } from "../testing.ts";

/** The generated hooks in a real React, before a scripted API. */

let api: Api;
let client: Client;
let streams: { readonly variables: Record<string, unknown>; open: boolean }[];
beforeEach(async () => {
  api = await startApi();
  client = createClient({ url: api.url, firstPauseMs: 5, shareAcrossTabs: false });
  streams = [];
  api.answer = ({ body }, response) => {
    const { runId } = body.variables as { runId: string };
    const run = { cursor: "c1", id: runId, status: "EXECUTING", cost: null, usage: [], approvals: [], artifacts: [] };
    response.end(JSON.stringify({ data: { run } }));
  };
  api.stream = (variables) => tokensOf(variables) as AsyncGenerator<unknown>;
});
afterEach(async () => {
  cleanup();
  await client.close();
  await api.close();
});
afterAll(() => window.happyDOM.close());

/** Three tokens after the cursor, and then nothing more. */
function tokensOf(variables: Record<string, unknown>): AsyncIterableIterator<unknown> {
  const stream = { variables, open: true };
  streams.push(stream);
  let seq = Number(typeof variables["after"] === "string" ? variables["after"].slice(1) : 0);
  const end = seq + 3;
  return {
    next: () => {
      if (seq === end) return new Promise(() => undefined);
      seq++;
      const what = { __typename: "TokenDelta", stepNumber: 1, index: seq, text: `${seq} ` };
      const where = { runId: variables["runId"], tenantId: "tnt_1", traceId: null, level: "INFO", at: "" };
      const runEvents = { ...what, ...where, cursor: `c${seq}`, seq };
      return Promise.resolve({ done: false, value: { data: { runEvents } } });
    },
    return: () => {
      stream.open = false;
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

const wrapper = ({ children }: { readonly children?: ReactNode }) =>
  createElement(
    StrictMode,
    null,
    createElement(library.ClientProvider, { client }, createElement(ApolloProvider, { client: apollo(), children })),
  );
let cached: InstanceType<typeof ApolloClient> | undefined;
const apollo = () =>
  (cached ??= new ApolloClient({
    cache: new InMemoryCache({ possibleTypes: library.possibleTypes }),
    link: library.createApolloLink(client),
    devtools: { enabled: false },
  }));
afterEach(() => {
  cached?.stop();
  cached = undefined;
});

describe("useRunLive", () => {
  test("gives the run, its text so far and the connection's state", async () => {
    const { result } = renderHook(() => library.useRunLive("run_1"), { wrapper });
    expect(result.current).toMatchObject({ data: undefined, isCaughtUp: false });
    await waitFor(() => {
      expect(result.current.data?.text).toBe("1 2 3 ");
    });
    expect(result.current).toMatchObject({
      isCaughtUp: true,
      data: { run: { id: "run_1", status: "EXECUTING" } },
      connection: { status: "connected", transport: "websocket" },
    });
  });

  test("ends its stream when its component goes", async () => {
    const { result, unmount } = renderHook(() => library.useRunLive("run_1"), { wrapper });
    await waitFor(() => {
      expect(result.current.data?.text).toBe("1 2 3 ");
    });
    unmount();
    await waitFor(() => {
      expect(streams.every(({ open }) => !open)).toBe(true);
    });
    expect(client.connection.get().status).toBe("idle");
  });

  test("ends its stream and begins another when it is asked for another run", async () => {
    const initialProps: { readonly id: string | undefined } = { id: "run_1" };
    const { result, rerender } = renderHook(({ id }: typeof initialProps) => library.useRunLive(id), {
      wrapper,
      initialProps,
    });
    await waitFor(() => {
      expect(result.current.data?.run.id).toBe("run_1");
    });
    rerender({ id: "run_2" });
    expect(result.current.data).toBeUndefined();
    await waitFor(() => {
      expect(result.current.data).toMatchObject({ run: { id: "run_2" }, text: "1 2 3 " });
    });
    expect(streams.filter(({ open }) => open).map(({ variables }) => variables["runId"])).toEqual(["run_2"]);
    rerender({ id: undefined });
    await waitFor(() => {
      expect(streams.every(({ open }) => !open)).toBe(true);
    });
    expect(result.current).toMatchObject({ data: undefined, connection: { status: "idle" } });
  });

  test("goes on after the last cursor when the connection is lost, and keeps what it shows", async () => {
    const { result } = renderHook(() => library.useRunLive("run_1"), { wrapper });
    await waitFor(() => {
      expect(result.current.data?.text).toBe("1 2 3 ");
    });
    for (const socket of api.sockets) socket.terminate();
    await waitFor(() => {
      expect(result.current.data?.text).toBe("1 2 3 4 5 6 ");
    });
    expect(streams.at(-1)?.variables).toMatchObject({ runId: "run_1", after: "c3" });
  });
});

describe("a generated hook of Apollo Client", () => {
  test("queries", async () => {
    api.answer = (_request, response) => {
      response.end(JSON.stringify({ data: { tools: [] } }));
    };
    const { result } = renderHook(() => library.useToolsQuery(), { wrapper });
    await waitFor(() => {
      expect(result.current.data).toEqual({ tools: [] });
    });
  });

  test("subscribes by the same streams, ends with its component, and goes on after the last cursor", async () => {
    const seen: number[] = [];
    const { unmount } = renderHook(
      () =>
        library.useRunEventsSubscription({
          variables: { runId: "run_1" },
          onData: ({ data: { data } }) => {
            if (data) seen.push(data.runEvents.seq);
          },
        }),
      { wrapper },
    );
    await waitFor(() => {
      expect(seen.at(-1)).toBe(3);
    });
    for (const socket of api.sockets) socket.terminate();
    await waitFor(() => {
      expect(seen.at(-1)).toBe(6);
    });
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    expect(streams.at(-1)?.variables).toMatchObject({ after: "c3" });
    unmount();
    await waitFor(() => {
      expect(streams.every(({ open }) => !open)).toBe(true);
    });
  });

  test("ends its stream and begins another from its beginning when its variables change", async () => {
    const initialProps = { runId: "run_1" };
    const { result, rerender } = renderHook((variables) => library.useRunEventsSubscription({ variables }), {
      wrapper,
      initialProps,
    });
    await waitFor(() => {
      expect(result.current.data?.runEvents).toMatchObject({ runId: "run_1", seq: 3 });
    });
    rerender({ runId: "run_2" });
    await waitFor(() => {
      expect(result.current.data?.runEvents).toMatchObject({ runId: "run_2", seq: 3 });
    });
    await waitFor(() => {
      expect(streams.filter(({ open }) => open).map(({ variables }) => variables)).toEqual([{ runId: "run_2" }]);
    });
  });

  test("mutates by way of the outbox when it is told to, with a key of its own", async () => {
    const sent: unknown[] = [];
    api.answer = ({ body }, response) => {
      sent.push(body.variables);
      const startRun = { __typename: "Run", id: "run_9", status: "CREATED", cursor: "c0", thread: { id: "thr_1" } };
      response.end(JSON.stringify({ data: { startRun } }));
    };
    const { result } = renderHook(() => library.useStartRunMutation({ context: { outbox: true } }), { wrapper });
    const [startRun] = result.current;
    const { data } = await act(() => startRun({ variables: { agentKey: "handbook", prompt: "why" } }));
    expect(data?.startRun.id).toBe("run_9");
    expect(sent).toEqual([{ agentKey: "handbook", prompt: "why", idempotencyKey: expect.any(String) }]);
  });
});
