import { createRequire } from "node:module";
import { defineConfig } from "vitest/config";

// graphql is published twice, as CommonJS and as ES modules. Vitest would give sources the one and their dependencies the
// other, and graphql refuses schemas "from another module or realm": everything is sent to the one that Node itself loads.
const graphql = createRequire(import.meta.url).resolve("graphql");

export default defineConfig({
  test: {
    pool: "forks",
    // One more than the two processors that this is made for: tests wait for Postgres and Redis a third of their time.
    maxWorkers: 3,
    globalSetup: "packages/testkit/src/global-setup.ts",
    coverage: {
      provider: "v8",
      include: ["{packages,subgraphs,clients}/*/src/**/*.ts", "{gateway,workers}/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/generated/**"],
      thresholds: { lines: 80, branches: 75, functions: 80, statements: 80 },
    },
    projects: [
      {
        extends: true,
        resolve: { alias: [{ find: /^graphql$/, replacement: graphql }] },
        test: {
          name: "unit",
          // Only to end what hangs: tests start real servers, and a loaded machine is slow. Nothing is timed by it.
          testTimeout: 30_000,
          hookTimeout: 60_000,
          include: [
            "{packages,subgraphs,clients}/*/src/**/*.test.ts",
            "{gateway,workers}/src/**/*.test.ts",
            "{prisma,schema,scripts,bench}/**/*.test.ts",
          ],
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          globalSetup: "e2e/global-setup.ts",
          include: ["e2e/**/*.e2e.ts"],
          // Stories start the whole system as separate processes: minutes, not milliseconds, on a busy machine.
          testTimeout: 120_000,
          hookTimeout: 180_000,
          // Each story measures and crashes a system of its own: two at once would disturb each other.
          fileParallelism: false,
        },
      },
    ],
  },
});
