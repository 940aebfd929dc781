import type { Config } from "@sba/platform/config";
import { modelErrors } from "./errors.ts";
import { localProvider, LOCAL_MODEL } from "./local.ts";
import type { ModelProvider } from "./model.ts";
import { openAiCompatibleProvider } from "./openai-compatible.ts";

export type {
  ModelEvent,
  ModelFinish,
  ModelFinishReason,
  ModelMessage,
  ModelProvider,
  ModelRequest,
  ModelTool,
  ModelToolCall,
  ModelUsage,
} from "./model.ts";

export type ModelConfig = Pick<Config, "OPENAI_API_KEY" | "OPENAI_BASE_URL" | "OPENAI_MODEL">;

/** Every provider that the configuration allows, the most specific first. To add one, add a line. */
function providersOf(config: ModelConfig): readonly ModelProvider[] {
  const { OPENAI_API_KEY: apiKey, OPENAI_BASE_URL: baseUrl } = config;
  return [localProvider, ...(apiKey === undefined ? [] : [openAiCompatibleProvider({ apiKey, baseUrl })])];
}

let providers: readonly ModelProvider[] = [localProvider];
let defaultModel = LOCAL_MODEL;

/** Sets the providers of this process. Without it, or without a key, there is the built-in model alone. */
export function useModels(config: ModelConfig): void {
  providers = providersOf(config);
  defaultModel = config.OPENAI_API_KEY === undefined ? LOCAL_MODEL : config.OPENAI_MODEL;
}

/** The name that "default" means now; any other name as it is. A run keeps the name it was accepted with. */
export function resolveModelName(model: string): string {
  return model === "default" ? defaultModel : model;
}

/** The provider of a model. @throws AGENT_MODEL_UNKNOWN when none that is configured serves it. */
export function getModel(model: string): ModelProvider {
  const provider = providers.find((each) => each.serves(model));
  if (!provider) throw modelErrors.AGENT_MODEL_UNKNOWN({ details: { model } });
  return provider;
}
