import type { Config } from "@sba/platform/config";
import { modelErrors } from "./errors.ts";
import { createGuard, type GuardOptions, type ProviderGuard } from "./guard.ts";
import { localProvider, LOCAL_MODEL } from "./local.ts";
import type { ModelProvider } from "./model.ts";
import { openAiCompatibleProvider } from "./openai-compatible.ts";

export type ModelConfig = Pick<
  Config,
  | "OPENAI_API_KEY"
  | "OPENAI_BASE_URL"
  | "OPENAI_MODEL"
  | "MODEL_FIRST_TOKEN_TIMEOUT_MS"
  | "MODEL_TOKEN_TIMEOUT_MS"
  | "MODEL_TURN_TIMEOUT_MS"
>;

const added: ModelProvider[] = [];

/**
 * Puts a provider before those that the configuration allows, from the next `useModels` on. For a process that stands for a worker
 * and whose model is not to be what is measured (`bench/durable`): no configuration reaches this.
 */
export function addProvider(provider: ModelProvider): void {
  added.push(provider);
}

/** Every provider that the configuration allows, the most specific first. To add one, add a line. */
function providersOf(config: ModelConfig): readonly ModelProvider[] {
  const { OPENAI_API_KEY: apiKey, OPENAI_BASE_URL: baseUrl } = config;
  const timeouts = {
    firstTokenMs: config.MODEL_FIRST_TOKEN_TIMEOUT_MS,
    betweenTokensMs: config.MODEL_TOKEN_TIMEOUT_MS,
    turnMs: config.MODEL_TURN_TIMEOUT_MS,
  };
  return [
    ...added,
    localProvider,
    ...(apiKey === undefined ? [] : [openAiCompatibleProvider({ apiKey, baseUrl, timeouts })]),
  ];
}

interface GuardedProvider {
  readonly provider: ModelProvider;
  readonly guard: ProviderGuard;
}

const guarded = (provider: ModelProvider, options?: GuardOptions): GuardedProvider => ({
  provider,
  guard: createGuard(provider.name, options),
});

let providers: readonly GuardedProvider[] = [guarded(localProvider)];
let defaultModel = LOCAL_MODEL;

/** Sets the providers of this process. Without it, or without a key, there is the built-in model alone. */
export function useModels(config: ModelConfig, guardOptions?: GuardOptions): void {
  providers = providersOf(config).map((provider) => guarded(provider, guardOptions));
  defaultModel = config.OPENAI_API_KEY === undefined ? LOCAL_MODEL : config.OPENAI_MODEL;
}

/** The name that "default" means now; any other name as it is. A run keeps the name it was accepted with. */
export function resolveModelName(model: string): string {
  return model === "default" ? defaultModel : model;
}

/** True when a provider that is configured serves the model, under its own name or as "default". */
export function isModelServed(model: string): boolean {
  return findProvider(resolveModelName(model)) !== undefined;
}

/** The provider of a model. @throws AGENT_MODEL_UNKNOWN when none that is configured serves it. */
export function getModel(model: string): ModelProvider {
  return getProvider(model).provider;
}

/** As `getModel`, with what this process knows of the provider's health. @throws AGENT_MODEL_UNKNOWN */
export function getProvider(model: string): GuardedProvider {
  const found = findProvider(model);
  if (!found) throw modelErrors.AGENT_MODEL_UNKNOWN({ details: { model } });
  return found;
}

function findProvider(model: string): GuardedProvider | undefined {
  return providers.find(({ provider }) => provider.serves(model));
}
