import { build } from "vite";

/** Builds the console into `dist`, which the gateway serves: `scripts/run.mjs` does it when its sources have changed. */
await build({ configFile: `${import.meta.dirname}/../vite.config.ts`, logLevel: "warn" });
