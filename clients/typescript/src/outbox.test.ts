import { eventually } from "@sba/testkit/eventually";
import { parse } from "graphql";
import { describe, expect, test } from "vitest";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { apiErrorOf, networkError } from "./errors.ts";
import { openOutbox, type Outbox, type OutboxResult } from "./outbox.ts";
import type { Execute } from "./request.ts";
import { localLocks, memoryStorage, type Storage } from "./storage.ts";

/** Mutations made offline, before an API that remembers its idempotency keys, as ours does. */

const START = parse(
  "mutation StartRun($prompt: String!, $idempotencyKey: String) { startRun(prompt: $prompt, idempotencyKey: $idempotencyKey) { id } }",
) as TypedDocumentNode<{ startRun: { id: string } }, { prompt: string; idempotencyKey?: string }>;

/** An API that can be cut off before or after it has done its work, and two tabs' common storage. */
function world() {
  const runs = new Map<string, string>();
  const storage = memoryStorage();
  const locks = localLocks();
  const wakes = new Set<() => void>();
  const api = {
    network: "up" as "up" | "down" | "loses answers",
    requests: 0,
    attempts: 0,
    prompts: (): unknown[] => [...runs.values()],
  };
  const execute: Execute = async (_query, { idempotencyKey, prompt }) => {
    await Promise.resolve();
    api.attempts++;
    if (api.network === "down") throw networkError("The API cannot be reached.");
    api.requests++;
    if (prompt === "refused") throw apiErrorOf([{ message: "No.", extensions: { code: "FORBIDDEN" } }]);
    const key = String(idempotencyKey);
    runs.set(key, runs.get(key) ?? String(prompt));
    if (api.network === "loses answers") throw networkError("The connection was lost.");
    return { data: { startRun: { id: `run_${[...runs.keys()].indexOf(key) + 1}` } } };
  };
  const open = (identity = "one", keeping: Storage = storage): Outbox =>
    openOutbox({
      storage: keeping,
      locks,
      execute,
      identity: () => Promise.resolve(identity),
      surroundings: {
        isOnline: () => api.network === "up",
        onWake: (listener) => {
          wakes.add(listener);
          return () => wakes.delete(listener);
        },
      },
    });
  const comeBack = (): void => {
    api.network = "up";
    for (const wake of [...wakes]) wake();
  };
  return { api, open, comeBack, storage };
}

describe("a mutation that can be sent", () => {
  test("does not wait until it is written down, and is written down while it is on its way", async () => {
    const { api, open, storage } = world();
    const { promise: mayWrite, resolve: write } = Promise.withResolvers<undefined>();
    const slow: Storage = {
      read: (key) => storage.read(key),
      write: async (key, value) => {
        await mayWrite;
        await storage.write(key, value);
      },
    };
    const outbox = open("one", slow);
    expect(await outbox.add(START, { prompt: "at once" })).toEqual({ startRun: { id: "run_1" } });
    write(undefined);
    // Its taking away comes behind its writing down: nothing is left that another visit would send.
    expect(await outbox.add(START, { prompt: "then" })).toEqual({ startRun: { id: "run_2" } });
    await eventually(async () => (await storage.read("sba:outbox:one")) === undefined);
    expect(api.requests).toBe(2);
    outbox.close();
  });

  test("is kept for the next visit when the page goes before its answer comes", async () => {
    const { api, open, comeBack } = world();
    api.network = "loses answers";
    const before = open();
    const lost = expect(before.add(START, { prompt: "cut" })).rejects.toMatchObject({ code: "CANCELLED" });
    await eventually(() => api.requests === 1);
    before.close();
    await lost;
    const after = open();
    const results: OutboxResult[] = [];
    after.onResult((result) => results.push(result));
    comeBack();
    await eventually(() => results.length === 1);
    expect(api.prompts()).toEqual(["cut"]);
    after.close();
  });

  test("is sent while the page is there where nothing can be kept, and kept when it can", async () => {
    const { api, open, comeBack, storage } = world();
    let isFull = true;
    const full: Storage = {
      read: (key) => storage.read(key),
      write: (key, value) => (isFull ? Promise.reject(new Error("full")) : storage.write(key, value)),
    };
    api.network = "down";
    const outbox = open("one", full);
    const added = outbox.add(START, { prompt: "no room" });
    await eventually(() => api.attempts > 0);
    isFull = false;
    await eventually(() => outbox.waiting.get().length === 1);
    comeBack();
    expect(await added).toEqual({ startRun: { id: "run_1" } });
    outbox.close();
  });
});

describe("a mutation made offline", () => {
  test("waits, and is sent in its order when somebody can be reached again", async () => {
    const { api, open, comeBack } = world();
    api.network = "down";
    const outbox = open();
    const added = ["first", "second", "third"].map((prompt) => outbox.add(START, { prompt }));
    await eventually(() => outbox.waiting.get().length === 3);
    expect(api.prompts()).toEqual([]);
    comeBack();
    expect(await Promise.all(added)).toEqual([1, 2, 3].map((number) => ({ startRun: { id: `run_${number}` } })));
    expect(api.prompts()).toEqual(["first", "second", "third"]);
    expect(outbox.waiting.get()).toEqual([]);
    outbox.close();
  });

  test("whose answer was lost is repeated with its key, and happens once", async () => {
    const { api, open, comeBack } = world();
    api.network = "loses answers";
    const outbox = open();
    const added = outbox.add(START, { prompt: "once" });
    await eventually(() => api.requests > 0);
    comeBack();
    expect(await added).toEqual({ startRun: { id: "run_1" } });
    expect(api.requests).toBeGreaterThan(1);
    expect(api.prompts()).toEqual(["once"]);
    outbox.close();
  });

  test("outlives the page that made it", async () => {
    const { api, open, comeBack } = world();
    api.network = "down";
    const before = open();
    const lost = expect(before.add(START, { prompt: "kept" })).rejects.toMatchObject({ code: "CANCELLED" });
    await eventually(() => before.waiting.get().length === 1);
    before.close();
    await lost;
    const after = open();
    const results: OutboxResult[] = [];
    after.onResult((result) => results.push(result));
    await eventually(() => after.waiting.get().length === 1);
    comeBack();
    await eventually(() => results.length === 1);
    expect(results).toMatchObject([{ entry: { variables: { prompt: "kept" } }, data: { startRun: { id: "run_1" } } }]);
    after.close();
  });

  test("that is refused is dropped with its reason, and those behind it go on", async () => {
    const { open } = world();
    const outbox = open();
    const refused = expect(outbox.add(START, { prompt: "refused" })).rejects.toMatchObject({ name: "ForbiddenError" });
    expect(await outbox.add(START, { prompt: "fine" })).toEqual({ startRun: { id: "run_1" } });
    await refused;
    expect(outbox.waiting.get()).toEqual([]);
    outbox.close();
  });

  test("is sent once by several tabs, and answered in the one that made it", async () => {
    const { api, open, comeBack } = world();
    api.network = "down";
    const tabs = [open(), open(), open()];
    const added = tabs.map((tab, index) => tab.add(START, { prompt: `of tab ${index}` }));
    await eventually(() => tabs.some((tab) => tab.waiting.get().length === 3));
    comeBack();
    const answers = await Promise.all(added);
    expect(new Set(answers.map(({ startRun }) => startRun.id)).size).toBe(3);
    expect(api.prompts()).toHaveLength(3);
    for (const tab of tabs) tab.close();
  });

  test("is not sent by somebody else who signs in to the same browser", async () => {
    const { api, open, comeBack } = world();
    api.network = "down";
    const outbox = open("one");
    const lost = expect(outbox.add(START, { prompt: "mine" })).rejects.toMatchObject({ code: "CANCELLED" });
    await eventually(() => outbox.waiting.get().length === 1);
    outbox.close();
    await lost;
    const other = open("another");
    comeBack();
    expect(await other.add(START, { prompt: "theirs" })).toEqual({ startRun: { id: "run_1" } });
    expect(api.prompts()).toEqual(["theirs"]);
    other.close();
  });

  test("is taken only with an idempotency key: another could happen twice", async () => {
    const { open } = world();
    const outbox = open();
    const cancel = parse("mutation CancelRun($runId: ID!) { cancelRun(runId: $runId) { id } }") as TypedDocumentNode<
      unknown,
      { runId: string }
    >;
    await expect(outbox.add(cancel, { runId: "r" })).rejects.toThrow("$idempotencyKey");
    outbox.close();
  });
});
