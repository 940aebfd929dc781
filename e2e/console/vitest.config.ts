import { defineConfig } from "vitest/config";

/** The console in a real browser, on a real system: `npm run browser [-- name]`. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    name: "console",
    include: ["*.browser.ts"],
    globalSetup: "global-setup.ts",
    // Only to end what hangs.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // One system, which some of them restart.
    fileParallelism: false,
  },
});
