import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { beforeEach, expect, test } from "vitest";
import { z } from "zod";
import type { Caller } from "./caller.ts";
import { acknowledgeEvents, startAfter } from "./consumers.ts";
import { withTenant } from "./db.ts";
import { appendEvents, defineEvent, encodeCursor, streamOf } from "./events.ts";
import { newId } from "./ids.ts";

useDatabase();

const noted = defineEvent({
  type: "platform.testing.noted",
  version: 1,
  description: "Something to acknowledge.",
  payload: z.object({}),
});

let caller: Caller;
let stream: string;
beforeEach(async () => {
  caller = aCaller();
  stream = streamOf("testing", newId());
  await withTenant(caller, (tx) => appendEvents(tx, caller, stream, [noted({}), noted({}), noted({})]));
});

const start = (consumer: string, of: Caller = caller) => startAfter(of, stream, { after: null, consumer });

test("a consumer goes on after what it has acknowledged, and from the beginning before it has", async () => {
  expect(await start("mailer")).toBe(0);
  await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 2) });
  expect([await start("mailer"), await start("another")]).toEqual([2, 0]);
});

test("an acknowledgement that comes late takes nothing back, also when many come at once", async () => {
  const cursors = [1, 3, 2, 1].map((seq) => encodeCursor(stream, seq));
  await Promise.all(cursors.map((cursor) => acknowledgeEvents(caller, { consumer: "mailer", cursor })));
  expect(await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 1) })).toEqual({
    consumer: "mailer",
    cursor: encodeCursor(stream, 3),
  });
  expect(await start("mailer")).toBe(3);
});

test("the cursor that a client gives goes before what its consumer has acknowledged", async () => {
  await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 3) });
  expect(await startAfter(caller, stream, { after: encodeCursor(stream, 1), consumer: "mailer" })).toBe(1);
});

test("another principal's consumer of the same name, and another tenant's, are others", async () => {
  await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 2) });
  const colleague = aCaller({ tenantId: caller.tenantId });
  expect([await start("mailer", colleague), await start("mailer", aCaller())]).toEqual([0, 0]);
});

test.each([
  [
    "of another tenant's stream",
    () => acknowledgeEvents(aCaller(), { consumer: "a", cursor: encodeCursor(stream, 1) }),
  ],
  [
    "of a stream that is not there",
    () => acknowledgeEvents(caller, { consumer: "a", cursor: encodeCursor("run:x", 1) }),
  ],
  [
    "of an event that is still to come",
    () => acknowledgeEvents(caller, { consumer: "a", cursor: encodeCursor(stream, 4) }),
  ],
  ["that is nonsense", () => acknowledgeEvents(caller, { consumer: "a", cursor: "nonsense" })],
])("a cursor %s is refused, and nothing is kept", async (_what, acknowledge) => {
  await expect(acknowledge()).rejects.toMatchObject({ code: "CURSOR_INVALID" });
  expect(await start("a")).toBe(0);
});
