import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { newId } from "@sba/platform/ids";
import { hashSteps, parseSteps } from "../workflow/definition.ts";
import { kinds } from "./kinds/index.ts";
import { stepSubject, workflowRunOfSubject } from "./step-kind.ts";

/** The contract of every kind of step. What each does is shown by workflow-run.test.ts. */
describe.each(kinds.map((kind) => [kind.name, kind] as const))("the kind %s", (name, kind) => {
  it("has a kebab-case name of its own and describes itself", () => {
    expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(kinds.filter((other) => other.name === name)).toHaveLength(1);
    expect(kind.description).toMatch(/^[A-Z].+\.$/);
  });

  it("publishes its own example", () => {
    const [step] = parseSteps([{ key: "step", kind: name, ...(kind.example as object) }]);
    expect(step).toMatchObject({ key: "step", kind: name });
    expect(kind.problems(step!.config)).toEqual([]);
  });

  it("parses what it parsed to the same: definitions are stored parsed", () => {
    const [step] = parseSteps([{ key: "step", kind: name, ...(kind.example as object) }]);
    expect(kind.config.parse(step!.config)).toEqual(step!.config);
    expect(hashSteps([step!])).toBe(hashSteps(JSON.parse(JSON.stringify([step])) as never));
  });

  it("refuses what it does not know, naming the step and the field", () => {
    const unknown = () => parseSteps([{ key: "step", kind: name, ...(kind.example as object), surprise: 1 }]);
    expect(unknown).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION_INVALID",
        message: expect.stringContaining("surprise") as string,
      }) as Error,
    );
    const empty = () => parseSteps([{ key: "step", kind: name }]);
    expect(empty).toThrow(
      expect.objectContaining({
        code: "WORKFLOW_DEFINITION_INVALID",
        message: expect.stringMatching(/^steps\.0\./) as string,
      }) as Error,
    );
  });

  it("is mentioned where authors look for it", () => {
    expect(readFileSync(new URL("../../README.md", import.meta.url), "utf8")).toContain(`\`${name}\``);
  });
});

describe("the subject of a step's approval", () => {
  it("leads back to its workflow run, and nothing else does", () => {
    const workflowRunId = newId();
    expect(workflowRunOfSubject(stepSubject({ workflowRunId, key: "consent" }))).toBe(workflowRunId);
    for (const subject of [null, "", "run:1", `x${stepSubject({ workflowRunId, key: "k" })}`, "workflowRun:short:k"]) {
      expect(workflowRunOfSubject(subject)).toBeUndefined();
    }
  });
});
