import { build } from "vite";

/** Builds the console into `dist`, which the gateway serves: `scripts/run.mjs` does it when its sources have changed. */

// Vite would build for whatever the system runs as, which `npm start` may say: React's development build is half as large again, and slow.
process.env["NODE_ENV"] = "production";
await build({ configFile: `${import.meta.dirname}/../vite.config.ts`, logLevel: "warn" });
