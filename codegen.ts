import type { CodegenConfig } from "@graphql-codegen/cli";
import { preset } from "@graphql-codegen/client-preset";

// Of the client preset, the typed documents: its gql() function repeats every document as text and is full of `any`.
const typedDocuments: typeof preset = {
  ...preset,
  buildGeneratesSection: async (options) =>
    (await preset.buildGeneratesSection(options)).filter(({ filename }) => filename.endsWith("graphql.ts")),
};

/** Types the documents that clients send, against the API as it is composed: `npm run codegen`. */
const config: CodegenConfig = {
  schema: "schema/api.graphql",
  documents: "clients/typescript/operations/*.graphql",
  generates: {
    "clients/typescript/src/generated/": {
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
    "clients/typescript/src/generated/hooks.ts": {
      plugins: ["clients/typescript/codegen/hooks.cjs"],
    },
  },
};

export default config;
