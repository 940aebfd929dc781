import { createRequire } from "node:module";
import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// graphql is published twice, as CommonJS and as ES modules. Vitest would give sources the one and their dependencies the
// other, and graphql refuses schemas "from another module or realm": everything is sent to the one that Node itself loads.
const graphql = createRequire(import.meta.url).resolve("graphql");

const oneGraphql = { resolve: { alias: [{ find: /^graphql$/, replacement: graphql }] } };

const UNIT = [
  "{packages,subgraphs,clients}/*/src/**/*.test.ts",
  "{gateway,workers}/src/**/*.test.ts",
  "{prisma,schema,scripts,bench}/**/*.test.ts",
];
/** What loads modules anew or sets the clock, for which files that share a process must not do. */
const IN_A_PROCESS_OF_THEIR_OWN = ["packages/platform/src/{ids,secrets}.test.ts"];
/** They touch no system but their own, if they have one. */
const BESIDE_OTHERS = [
  "e2e/{start-and-stop,one-trace}/*.e2e.ts",
  "e2e/ask-the-handbook/split-*.e2e.ts",
  "e2e/command-line/login.e2e.ts",
];
// Only to end what hangs: tests start real servers, and a loaded machine is slow. Nothing is timed by it.
const PATIENCE = { testTimeout: 30_000, hookTimeout: 60_000 };
// Stories start the whole system as separate processes: minutes, not milliseconds, on a busy machine.
const STORIES = { testTimeout: 120_000, hookTimeout: 180_000 };

/**
 * The longest first, so that none is left over when the others are done. What has not run here before is ordered by size: races take
 * long for theirs, and so does what starts processes, which is begun when the systems of the stories have started.
 */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const races = ({ moduleId }: TestSpecification): boolean => moduleId.includes("races.test");
    const spawns = ({ moduleId }: TestSpecification): boolean => /\/(scripts|workers|launcher)\//.test(moduleId);
    const others = sorted.filter((file) => !races(file) && !spawns(file));
    const early = Math.ceil(others.length / 4);
    return [
      ...sorted.filter(races),
      ...others.slice(0, early),
      ...sorted.filter((file) => spawns(file) && !races(file)),
      ...others.slice(early),
    ];
  }
}

export default defineConfig({
  test: {
    pool: "forks",
    // One more than the two processors that this is made for: tests wait for Postgres and Redis a third of their time.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
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
        ...oneGraphql,
        test: {
          name: "unit",
          ...PATIENCE,
          // Half of a file's work was to start a process and load the same modules: files put back what they set.
          isolate: false,
          // A process allocates much for a short time: with room for it, a twentieth of its work is spared.
          execArgv: ["--max-semi-space-size=64"],
          include: UNIT,
          exclude: [...configDefaults.exclude, ...IN_A_PROCESS_OF_THEIR_OWN],
        },
      },
      {
        extends: true,
        ...oneGraphql,
        test: { name: "unit alone", ...PATIENCE, include: IN_A_PROCESS_OF_THEIR_OWN },
      },
      {
        extends: true,
        test: {
          name: "stories of their own",
          ...STORIES,
          include: BESIDE_OTHERS,
          // Not beside unit tests: each starts some ten processes, and all of them together took a tenth longer.
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "stories",
          ...STORIES,
          globalSetup: "e2e/global-setup.ts",
          include: ["e2e/**/*.e2e.ts"],
          exclude: [...configDefaults.exclude, ...BESIDE_OTHERS],
          // They share a system, crash it and measure it: two at once would disturb each other, and so would other tests.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          // One process for all: it loads the client and the domains once.
          isolate: false,
        },
      },
    ],
  },
});
