import { withTenant } from "@sba/platform/db";
import { appendEvents, defineEvent } from "@sba/platform/events";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { expect, test } from "vitest";
import { z } from "zod";
import { handlers } from "./handlers.ts";
import { on, reactions, reactionsHandler } from "./reactions.ts";

useDatabase();
const happened = defineEvent({
  type: "test.happened",
  version: 1,
  description: "Something.",
  payload: z.object({ what: z.string() }),
});
const other = defineEvent({ type: "test.other", version: 1, description: "Something else.", payload: z.object({}) });
const context = { signal: new AbortController().signal, attempt: 1, log: logger };

async function announce(what: string) {
  const caller = aCaller();
  const stream = `test:${newId()}`;
  const seq = await withTenant(caller, (tx) => appendEvents(tx, caller, stream, [other({}), happened({ what })]));
  return { caller, payload: { stream, seq, type: happened.type } };
}

test("calls every reaction to the event, and no other, with its payload and as its caller", async () => {
  const { caller, payload } = await announce("rain");
  const seen: unknown[] = [];
  const note =
    (name: string) =>
    (...[by, { what }]: [unknown, { what: string }]) => {
      seen.push([name, by, what]);
      return Promise.resolve();
    };
  const arrows = [
    on(happened, note("first")),
    on(happened, note("second")),
    on(other, () => {
      seen.push("other");
      return Promise.resolve();
    }),
  ];
  await reactionsHandler(arrows).run(caller, payload, context);
  expect(seen).toEqual([
    ["first", caller, "rain"],
    ["second", caller, "rain"],
  ]);
});

test("lets no reaction keep another from running, and fails so that all are tried again", async () => {
  const { caller, payload } = await announce("rain");
  let ran = 0;
  const arrows = [
    on(happened, () => Promise.reject(new Error("this one fails"))),
    on(happened, () => {
      ran++;
      return Promise.resolve();
    }),
  ];
  await expect(reactionsHandler(arrows).run(caller, payload, context)).rejects.toThrow("this one fails");
  expect(ran).toBe(1);
});

test("does not take another tenant's event, or one that is not there, for the announced one", async () => {
  const { caller, payload } = await announce("rain");
  const { run } = reactionsHandler([]);
  await expect(run(aCaller(), payload, context)).rejects.toThrow("not in the journal");
  await expect(run(caller, { ...payload, seq: payload.seq + 1 }, context)).rejects.toThrow("not in the journal");
});

test("reacts only to events that are announced", () => {
  expect(reactions.filter(({ event }) => event.announced !== true)).toEqual([]);
});

test("has one handler for each job", () => {
  const names = handlers.map(({ job }) => job.name);
  expect(new Set(names).size).toBe(names.length);
});
