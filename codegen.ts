import { readdirSync } from "node:fs";
import type { CodegenConfig } from "@graphql-codegen/cli";
import { preset } from "@graphql-codegen/client-preset";

// Of the client preset, the typed documents: its gql() function repeats every document as text and is full of `any`.
const typedDocuments: typeof preset = {
  ...preset,
  buildGeneratesSection: async (options) =>
    (await preset.buildGeneratesSection(options)).filter(({ filename }) => filename.endsWith("graphql.ts")),
};

const GENERATED = "clients/typescript/src/generated/";
const OPERATIONS = "clients/typescript/operations/*.graphql";
const PLUGINS = "clients/typescript/codegen/";
const CONSOLE = "clients/console/src/generated/";
const CONSOLE_OPERATIONS = "clients/console/operations/";
const live = (options: Readonly<Record<string, unknown>>) => ({ [`${PLUGINS}live.cjs`]: options });

/** What becomes of a subscription's events; without one, a list of them. */
const MODELS = {
  RunLive: "../live/run.ts#runModel",
  ApprovalsLive: "../live/approvals.ts#approvalsModel",
  IngestionLive: "../live/ingestion.ts#ingestionModel",
  WorkflowRunLive: "../live/workflow-run.ts#workflowRunModel",
};

/** How documents become types, of the client's and of the console's. */
const TYPES = {
  // Node runs these files as they are: no enums, and imports that name what they import.
  enumsAsTypes: true,
  useTypeImports: true,
  importExtension: ".ts",
  strictScalars: true,
  defaultScalarType: "unknown",
  avoidOptionals: { field: true },
  immutableTypes: true,
  scalars: { BigInt: "string", Cursor: "string", DateTime: "string", JSON: "unknown" },
} as const;

/** The console's own documents: a folder for each file, so that a page loads its own and no other's. */
function consoleOf(files: readonly string[]): CodegenConfig["generates"] {
  type Output = readonly [string, CodegenConfig["generates"][string]];
  return Object.fromEntries(
    files.flatMap((file): Output[] => {
      const documents = `${CONSOLE_OPERATIONS}${file}`;
      const folder = `${CONSOLE}${file.replace(/\.graphql$/, "")}/`;
      const config = { ...TYPES, onlyOperationTypes: true };
      return [
        [folder, { documents, preset: typedDocuments, presetConfig: { fragmentMasking: false }, config }],
        [`${folder}hooks.ts`, { documents, plugins: [`${PLUGINS}hooks.cjs`] }],
      ];
    }),
  );
}

/** Types the documents that clients send, against the API as it is composed: `npm run codegen`. */
const config: CodegenConfig = {
  schema: "schema/api.graphql",
  generates: {
    [GENERATED]: {
      documents: OPERATIONS,
      preset: typedDocuments,
      presetConfig: { fragmentMasking: false },
      config: TYPES,
    },
    [`${GENERATED}hooks.ts`]: { documents: OPERATIONS, plugins: [`${PLUGINS}hooks.cjs`] },
    [`${GENERATED}live.ts`]: {
      documents: OPERATIONS,
      plugins: [live({ emit: "definitions", library: "../live/definition.ts", models: MODELS })],
    },
    [`${GENERATED}live-hooks.ts`]: {
      documents: OPERATIONS,
      plugins: [live({ emit: "hooks", library: "../react/use-live.ts" })],
    },
    [`${GENERATED}logs.ts`]: {
      documents: OPERATIONS,
      plugins: [live({ emit: "logs", last: { runEvents: ["RunFinished", "RunFailed"] } })],
    },
    [`${GENERATED}possible-types.ts`]: { documents: OPERATIONS, plugins: [`${PLUGINS}possible-types.cjs`] },
    [`${GENERATED}version.ts`]: {
      documents: OPERATIONS,
      plugins: [
        {
          [`${PLUGINS}version.cjs`]: {
            supergraph: "schema/supergraph.graphql",
            manifest: "clients/typescript/package.json",
          },
        },
      ],
    },
    ...consoleOf(readdirSync(CONSOLE_OPERATIONS)),
    [`${CONSOLE}scopes.ts`]: {
      documents: OPERATIONS,
      plugins: [{ [`${PLUGINS}scopes.cjs`]: { supergraph: "schema/supergraph.graphql" } }],
    },
  },
};

export default config;
