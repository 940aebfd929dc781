// Who may import whom. One rule each; the names are the vocabulary of review.

/** Each may import only those before it. */
const domains = ["billing", "identity", "integrations", "knowledge", "agent", "workflow"];
const above = (index) => domains.slice(index + 1).join("|");
/** What other packages see of a domain. */
const FACE = "^subgraphs/[^/]+/src/(index|events|jobs|testing)[.]ts$";
/** What the process that serves everything needs of a domain besides. */
const SERVED = "^subgraphs/[^/]+/src/(index|events|jobs|testing|server|schema)[.]ts$";
const TEST = "[.](test|testing|e2e|bench)[.]";
const TEST_CODE = `(${TEST}|/testing[.]ts$|^(e2e|bench|packages/testkit)/)`;

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    ...domains.slice(0, -1).map((name, index) => ({
      name: `${name}-is-below-${domains[index + 1]}`,
      severity: "error",
      comment: "Domains form a line. To tell a higher domain something, publish an event.",
      from: { path: `^subgraphs/${name}/` },
      to: { path: `^subgraphs/(${above(index)})/` },
    })),
    {
      name: "through-the-face",
      severity: "error",
      comment: "Another domain is reached only through its index, events or jobs (and testing, from tests).",
      from: { path: "^(subgraphs/[^/]+)/" },
      to: { path: "^subgraphs/", pathNot: ["^$1/", FACE] },
    },
    {
      name: "workers-through-the-face",
      severity: "error",
      comment: "Workers call the functions that resolvers call, and nothing behind them.",
      from: { path: "^workers/" },
      to: { path: "^(subgraphs|gateway|clients|prisma)/", pathNot: FACE },
    },
    {
      name: "launcher-through-the-served-face",
      severity: "error",
      comment: "Whoever starts a domain needs its server or schema, and no noun of it.",
      from: { path: "^(packages/launcher/|schema/|scripts/|prisma/|start[.]ts$)", pathNot: TEST },
      to: { path: "^subgraphs/", pathNot: SERVED },
    },
    {
      name: "graphql-is-an-edge",
      severity: "error",
      comment: "Domain code imports no GraphQL: the same functions serve resolvers, workers and tests.",
      from: {
        path: "^subgraphs/[^/]+/src/",
        pathNot: "([.]graphql|[.]ref|/builder|/schema|/server|/testing|[.]test)[.]ts$",
      },
      to: {
        dependencyTypesNot: ["type-only"],
        path: "([.](graphql|ref)[.]ts$|/src/builder[.]ts$|/src/schema[.]ts$|node_modules/(graphql|@pothos|@apollo)/|platform/src/graphql[.]ts$)",
      },
    },
    {
      name: "state-is-pure",
      severity: "error",
      comment: "Transition tables compute: they import types, and nothing that runs but each other.",
      from: { path: "[.]state[.]ts$" },
      to: { pathNot: "[.]state[.]ts$", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "platform-knows-no-domain",
      severity: "error",
      from: { path: "^packages/platform/" },
      to: { path: "^(subgraphs|gateway|workers|clients|e2e|bench|packages/launcher)/" },
    },
    {
      name: "gateway-knows-no-domain",
      severity: "error",
      comment: "The gateway knows a schema and where its parts are served.",
      from: { path: "^gateway/" },
      to: { path: "^(subgraphs|workers|clients|e2e|bench|packages/launcher)/" },
    },
    {
      name: "clients-know-only-the-schema",
      severity: "error",
      from: { path: "^clients/", pathNot: TEST },
      to: { path: "^(packages|subgraphs|gateway|workers|prisma|e2e|bench)/" },
    },
    {
      name: "drivers-stay-in-platform",
      severity: "error",
      comment: "One door for each driver; the launcher and the tools of prisma/ apply migrations as the owner.",
      from: { pathNot: `(^packages/(platform|testkit)/|${TEST}|^(e2e|bench|scripts)/|^packages/launcher/)` },
      to: {
        path: "node_modules/(pg|bullmq|ioredis|graphql-redis-subscriptions|@aws-sdk|@prisma/(client|adapter-pg)|@opentelemetry)/",
        dependencyTypesNot: ["type-only"],
      },
    },
    {
      name: "no-test-code-in-source",
      severity: "error",
      from: { pathNot: TEST_CODE },
      to: { path: TEST_CODE },
    },
    {
      name: "resolves",
      severity: "error",
      comment: "Not exported, not declared, or not there.",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "declared",
      severity: "error",
      comment: "Declare it in the package that imports it; what happens to be hoisted is not there tomorrow.",
      from: { pathNot: [TEST_CODE, "[.]config[.](ts|js)$"] },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
    {
      name: "no-cycles",
      severity: "error",
      comment: "Types may refer to each other in a circle; what runs may not.",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: ["node_modules", "/generated/"] },
    exclude: { path: "(/generated/prisma/|/dist/)" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "node", "default"],
      mainFields: ["main", "types", "typings"],
    },
  },
};
