import { loadConfig } from "@sba/platform/config";
import { afterEach, describe, expect, it } from "vitest";
import { getModel, isModelServed, resolveModelName, useModels } from "./index.ts";

const none = loadConfig({});

describe("the registry of models", () => {
  afterEach(() => {
    useModels(none);
  });

  it("has the built-in model alone when no key is configured", () => {
    expect(resolveModelName("default")).toBe("local");
    expect(getModel("local").name).toBe("local");
    expect(() => getModel("gpt-4.1-mini")).toThrow(expect.objectContaining({ code: "AGENT_MODEL_UNKNOWN" }) as Error);
    expect(["default", "local", "gpt-4.1-mini"].filter(isModelServed)).toEqual(["default", "local"]);
  });

  it("serves every other name through the configured endpoint, the built-in model still by itself", () => {
    useModels({ ...none, OPENAI_API_KEY: "sk-test" });
    expect(resolveModelName("default")).toBe("gpt-4.1-mini");
    expect(resolveModelName("local")).toBe("local");
    expect(getModel("local").name).toBe("local");
    expect(getModel("llama-4").name).toBe("openai-compatible");
    expect(isModelServed("llama-4")).toBe(true);
  });
});
