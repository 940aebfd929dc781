import { describe, expect, it } from "vitest";
import { findUnknown, readReferences, renderTemplate, type TemplateScope } from "./template.ts";

const scope: TemplateScope = {
  input: { title: "Report", count: 3, tags: ["a", "b"], nothing: null, deep: { er: "x" } },
  steps: { draft: { output: { text: "Hello {{input.title}}", runId: "run_1" } } },
};

describe("renderTemplate", () => {
  it.each([
    ["plain text", "no references", "no references"],
    ["a reference within text", "On {{input.title}}:", "On Report:"],
    ["several references", "{{input.title}} x {{ input.count }}", "Report x 3"],
    ["a whole reference to a number", "{{input.count}}", 3],
    ["a whole reference to an array", "{{input.tags}}", ["a", "b"]],
    ["a whole reference to null", "{{input.nothing}}", null],
    ["an array within text", "tags: {{input.tags}}", 'tags: ["a","b"]'],
    ["an index into an array", "{{input.tags.1}}", "b"],
    ["an output of a step", "{{steps.draft.output.runId}}", "run_1"],
    ["a whole output", "{{steps.draft.output}}", scope.steps["draft"]!.output],
    ["values at any depth", { a: ["{{input.deep.er}}"], b: { c: true } }, { a: ["x"], b: { c: true } }],
    ["keys as they are", { "{{input.title}}": 1 }, { "{{input.title}}": 1 }],
  ])("fills in %s", (_name, template, value) => {
    expect(renderTemplate(template, scope)).toEqual({ value });
  });

  it("does not look at what was filled in again", () => {
    expect(renderTemplate("{{steps.draft.output.text}}!", scope)).toEqual({ value: "Hello {{input.title}}!" });
    expect(renderTemplate("[{{input.x}}]", { input: { x: "$& $1 $`" }, steps: {} })).toEqual({ value: "[$& $1 $`]" });
  });

  it.each([
    ["{{input.absent}}", "input.absent"],
    ["{{input.title.length}}", "input.title.length"],
    ["{{input.tags.length.x}}", "input.tags.length.x"],
    ["{{input.tags.7}}", "input.tags.7"],
    ["{{input.constructor}}", "input.constructor"],
    ["{{input.__proto__}}", "input.__proto__"],
    ["{{steps.later.output}}", "steps.later.output"],
  ])("says that %s leads nowhere", (template, reference) => {
    expect(renderTemplate(`see ${template}`, scope)).toEqual({ unknown: [reference] });
  });

  it("says what is no reference at all", () => {
    for (const text of ["{{input}}", "{{env.SECRET}}", "{{steps.draft.status}}", "{{1+1}}", "{{}}", "{{input.a b}}"]) {
      expect(renderTemplate(text, scope)).toEqual({ unknown: [text] });
    }
  });

  it("never throws, whatever the text", () => {
    const pieces = ["{{", "}}", "{", "}", "input", ".", "steps", "draft", "output", " ", "$&", "title", "\n"];
    for (let seed = 1; seed < 3_000; seed++) {
      let state = seed;
      const text = Array.from(
        { length: 12 },
        () => pieces[(state = (state * 48_271) % 2_147_483_647) % pieces.length],
      ).join("");
      const rendered = renderTemplate(text, scope);
      expect("value" in rendered || rendered.unknown.length > 0).toBe(true);
    }
  });
});

describe("readReferences", () => {
  it("finds references everywhere in a value, and braces that are not closed", () => {
    const { references, malformed } = readReferences({ a: "{{input.x}} {{input.y", b: ["{{steps.s.output.z}}"] });
    expect(references.map(({ text }) => text)).toEqual(["input.x", "steps.s.output.z"]);
    expect(malformed).toEqual(["{{input.x}} {{input.y"]);
  });

  it("names an unknown reference once", () => {
    const { references } = readReferences(["{{input.a}}", "{{input.a}}", "{{input.title}}"]);
    expect(findUnknown(references, scope)).toEqual(["input.a"]);
  });
});
