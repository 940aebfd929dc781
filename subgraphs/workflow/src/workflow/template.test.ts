import { describe, expect, it } from "vitest";
import { findUnknown, readReferences, renderTemplate as renderWithin, type TemplateScope } from "./template.ts";

const scope: TemplateScope = {
  input: { title: "Report", count: 3, tags: ["a", "b"], nothing: null, deep: { er: "x" } },
  steps: { draft: { output: { text: "Hello {{input.title}}", runId: "run_1" } } },
};

const LIMIT = 1024 * 1024;
const renderTemplate = (template: unknown, given: TemplateScope) => renderWithin(template, given, LIMIT);

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

  describe("does not build what is above its limit", () => {
    const x = "x".repeat(260_000);
    const large: TemplateScope = { input: { x, zeros: Array.from({ length: 130_000 }, () => 0) }, steps: {} };

    it.each([
      // 390 MB a string, of which a worker can hold none.
      ["a text many times in texts", Array.from({ length: 15 }, () => "{{input.x}}".repeat(1_500))],
      ["a text in one string that no engine can make", "{{input.x}}".repeat(3_000)],
      ["a list many times", Array.from({ length: 18_000 }, () => "{{input.zeros}}")],
      ["a list within text", "{{input.zeros}} {{ input.zeros }}".repeat(8_000)],
    ])("%s", (_name, template) => {
      const [heap, beganAt] = [process.memoryUsage().heapUsed, performance.now()];
      expect(renderTemplate(template, large)).toEqual({ tooLarge: true });
      expect(performance.now() - beganAt).toBeLessThan(10_000);
      expect(process.memoryUsage().heapUsed - heap).toBeLessThan(64 * LIMIT);
    });

    it("to the last character, what the template says by itself included", () => {
      const template = { a: "{{input.title}}-{{input.tags}}", b: ["{{input.title}}", 7] };
      expect(renderWithin(template, scope, 22)).toEqual({ value: { a: 'Report-["a","b"]', b: ["Report", 7] } });
      expect(renderWithin(template, scope, 21)).toEqual({ tooLarge: true });
      expect(renderWithin("plain", scope, 4)).toEqual({ tooLarge: true });
    });

    it("but fills in as often as it fits", () => {
      const rendered = renderTemplate(["{{input.x}}{{input.x}}", "{{input.x}}"], large);
      expect(rendered).toEqual({ value: [x + x, x] });
    });
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
      expect("value" in rendered || ("unknown" in rendered && rendered.unknown.length > 0)).toBe(true);
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
