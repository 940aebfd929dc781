import type { CodegenConfig } from "@graphql-codegen/cli";
import { preset } from "@graphql-codegen/client-preset";

// Of the client preset, the typed documents: its gql() function repeats every document as text and is full of `any`.
const typedDocuments: typeof preset = {
  ...preset,
  buildGeneratesSection: async (options) =>
    (await preset.buildGeneratesSection(options)).filter(({ filename }) => filename.endsWith("graphql.ts")),
};

const GENERATED = "clients/typescript/src/generated/";
const PLUGINS = "clients/typescript/codegen/";
const live = (options: Readonly<Record<string, unknown>>) => ({ [`${PLUGINS}live.cjs`]: options });

/** What becomes of a subscription's events; without one, a list of them. */
const MODELS = {
  RunLive: "../live/run.ts#runModel",
  ApprovalsLive: "../live/approvals.ts#approvalsModel",
  IngestionLive: "../live/ingestion.ts#ingestionModel",
  WorkflowRunLive: "../live/workflow-run.ts#workflowRunModel",
};

/** Types the documents that clients send, against the API as it is composed: `npm run codegen`. */
const config: CodegenConfig = {
  schema: "schema/api.graphql",
  documents: "clients/typescript/operations/*.graphql",
  generates: {
    [GENERATED]: {
      preset: typedDocuments,
      presetConfig: { fragmentMasking: false },
      config: {
        // Node runs these files as they are: no enums, and imports that name what they import.
        enumsAsTypes: true,
        useTypeImports: true,
        importExtension: ".ts",
        strictScalars: true,
        defaultScalarType: "unknown",
        avoidOptionals: { field: true },
        immutableTypes: true,
        scalars: {
          BigInt: "string",
          Cursor: "string",
          DateTime: "string",
          JSON: "unknown",
        },
      },
    },
    [`${GENERATED}hooks.ts`]: { plugins: [`${PLUGINS}hooks.cjs`] },
    [`${GENERATED}live.ts`]: {
      plugins: [live({ emit: "definitions", library: "../live/definition.ts", models: MODELS })],
    },
    [`${GENERATED}live-hooks.ts`]: { plugins: [live({ emit: "hooks", library: "../react/use-live.ts" })] },
    [`${GENERATED}logs.ts`]: { plugins: [live({ emit: "logs", last: { runEvents: ["RunFinished", "RunFailed"] } })] },
    [`${GENERATED}possible-types.ts`]: { plugins: [`${PLUGINS}possible-types.cjs`] },
    [`${GENERATED}version.ts`]: {
      plugins: [{ [`${PLUGINS}version.cjs`]: { supergraph: "schema/supergraph.graphql" } }],
    },
  },
};

export default config;
