import { expect, test } from "vitest";
import { eventually } from "./eventually.ts";

test("returns what the condition gives once it holds", async () => {
  let looks = 0;
  expect(
    await eventually(() => {
      looks += 1;
      return looks === 3 && looks;
    }),
  ).toBe(3);
});

test("fails with the last assertion when the time is up", async () => {
  const failing = eventually(
    () => {
      expect(1).toBe(2);
    },
    { timeoutMs: 20 },
  );
  await expect(failing).rejects.toMatchObject({
    message: expect.stringContaining("not so after 20 ms"),
    cause: expect.anything(),
  });
});
