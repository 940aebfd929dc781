import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { loadConfig, VARIABLE_NAMES } from "@sba/platform/config";
import { expect, test } from "vitest";

const example = parseEnv(readFileSync(join(import.meta.dirname, "../.env.example"), "utf8"));

test(".env.example names every variable and no other", () => {
  expect(Object.keys(example).sort()).toEqual([...VARIABLE_NAMES].sort());
});

test(".env.example is what is used without any variable", () => {
  expect(loadConfig(example)).toEqual(loadConfig({}));
});
