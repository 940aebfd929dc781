import { expect, test } from "vitest";
import { parseOptions, SECTIONS } from "./options.ts";

test("measures everything on the embedded defaults unless told otherwise", () => {
  expect(parseOptions([])).toEqual({ sections: new Set(SECTIONS), redis: false, profileTo: undefined, short: false });
});

test("takes the sections that are asked for, in one list or several", () => {
  expect([...parseOptions(["--only", "search, start", "--only", "runs"]).sections]).toEqual([
    "search",
    "start",
    "runs",
  ]);
  expect(parseOptions(["--redis"]).redis).toBe(true);
});

test("names what it does not know", () => {
  expect(() => parseOptions(["--only", "search,speed"])).toThrow("--only speed: there is start, memory");
  expect(() => parseOptions(["--fast"])).toThrow("--fast");
});
