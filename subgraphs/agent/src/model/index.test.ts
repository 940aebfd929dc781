import { afterEach, describe, expect, it } from "vitest";
import { getModel, resolveModelName, useModels } from "./index.ts";

const none = { OPENAI_API_KEY: undefined, OPENAI_BASE_URL: "https://api.openai.com/v1", OPENAI_MODEL: "gpt-4.1-mini" };

describe("the registry of models", () => {
  afterEach(() => {
    useModels(none);
  });

  it("has the built-in model alone when no key is configured", () => {
    expect(resolveModelName("default")).toBe("local");
    expect(getModel("local").name).toBe("local");
    expect(() => getModel("gpt-4.1-mini")).toThrow(expect.objectContaining({ code: "AGENT_MODEL_UNKNOWN" }) as Error);
  });

  it("serves every other name through the configured endpoint, the built-in model still by itself", () => {
    useModels({ ...none, OPENAI_API_KEY: "sk-test" });
    expect(resolveModelName("default")).toBe("gpt-4.1-mini");
    expect(resolveModelName("local")).toBe("local");
    expect(getModel("local").name).toBe("local");
    expect(getModel("llama-4").name).toBe("openai-compatible");
  });
});
