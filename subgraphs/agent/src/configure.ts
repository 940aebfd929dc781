import type { Config } from "@sba/platform/config";
import { useBlobStore } from "@sba/platform/blobs";
import { useModels, useWindow } from "./model/index.ts";

/** Sets what this domain takes from the configuration; called once by every process that runs it, before it serves. */
export async function configureAgent(config: Config): Promise<void> {
  useModels(config);
  useWindow(config.OPENAI_WINDOW_TOKENS);
  await useBlobStore(config);
}
