import { expect, it } from "vitest";
import { inputFieldsOf, inputOf } from "./input.ts";

const STEPS = [
  { config: { agent: "handbook", prompt: "About {{input.topic}}: {{ input.customer.name }}" } },
  { config: { tool: "x", params: { to: ["{{input.topic}}", "{{steps.a.output.text}}"], who: "{{input.customer}}" } } },
];

it("asks for what the steps refer to, each once", () => {
  expect(inputFieldsOf(STEPS)).toEqual([
    { name: "topic", isJson: false },
    { name: "customer", isJson: true },
  ]);
});

it("makes an input of what was typed, and names what is missing or cannot be read", () => {
  const fields = inputFieldsOf(STEPS);
  expect(inputOf(fields, { topic: "12", customer: '{"name":"Ada"}' })).toEqual({
    value: { topic: "12", customer: { name: "Ada" } },
    wrong: [],
  });
  expect(inputOf(fields, { topic: " ", customer: "Ada" }).wrong).toEqual(["topic", "customer"]);
});
