import graphql from "@graphql-eslint/eslint-plugin";
import prettier from "eslint-config-prettier";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";
import { ownTables } from "./scripts/lint/own-tables.ts";

// What tsc already says is not said again; what prettier decides is not argued about.

const TESTS = [
  "**/*.test.ts",
  "**/*.e2e.ts",
  "**/*.browser.ts",
  "**/testing.ts",
  "**/*.testing.ts",
  "packages/testkit/**",
  "e2e/**",
  "bench/**",
];
const TOOLS = [
  "scripts/**",
  "**/*.config.ts",
  "clients/console/build/**",
  "packages/launcher/**",
  "packages/testkit/**",
  "start.ts",
];

const typed = {
  "@typescript-eslint/await-thenable": "error",
  "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
  "@typescript-eslint/consistent-type-exports": "error",
  "@typescript-eslint/no-array-delete": "error",
  "@typescript-eslint/no-base-to-string": "error",
  "@typescript-eslint/no-explicit-any": "error",
  "@typescript-eslint/no-floating-promises": "error",
  "@typescript-eslint/no-for-in-array": "error",
  "@typescript-eslint/no-implied-eval": "error",
  // A void-returning callback may not be given a promise that nobody would hear fail.
  "@typescript-eslint/no-misused-promises": "error",
  "@typescript-eslint/no-unnecessary-type-assertion": "error",
  "@typescript-eslint/no-unsafe-argument": "error",
  "@typescript-eslint/no-unsafe-assignment": "error",
  "@typescript-eslint/no-unsafe-call": "error",
  "@typescript-eslint/no-unsafe-member-access": "error",
  "@typescript-eslint/no-unsafe-return": "error",
  "@typescript-eslint/only-throw-error": ["error", { allowThrowingUnknown: true, allowRethrowing: true }],
  "@typescript-eslint/prefer-promise-reject-errors": "error",
  "@typescript-eslint/restrict-plus-operands": "error",
  "@typescript-eslint/return-await": ["error", "error-handling-correctness-only"],
  "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
  "@typescript-eslint/naming-convention": [
    "error",
    { selector: "typeLike", format: ["PascalCase"] },
    { selector: "function", format: ["camelCase", "PascalCase"] },
    { selector: "variable", format: ["camelCase", "UPPER_CASE", "PascalCase"], leadingUnderscore: "allow" },
    { selector: "parameter", format: ["camelCase"], leadingUnderscore: "allow" },
    // The name is given by what is taken apart.
    { selector: ["variable", "parameter"], modifiers: ["destructured"], format: null },
  ],
};

const plain = {
  curly: ["error", "multi-line"],
  eqeqeq: ["error", "always", { null: "ignore" }],
  "no-console": "error",
  "no-restricted-imports": [
    "error",
    {
      paths: [
        { name: "node:process", importNames: ["env"], message: "Read it through loadConfig of @sba/platform/config." },
      ],
    },
  ],
  "no-restricted-properties": [
    "error",
    { object: "process", property: "env", message: "Read it through loadConfig of @sba/platform/config." },
  ],
  "no-var": "error",
  "object-shorthand": ["error", "properties"],
  "prefer-const": "error",
  "max-lines": ["warn", { max: 400 }],
  "max-lines-per-function": ["warn", { max: 60, skipComments: true, skipBlankLines: true }],
};

export default defineConfig([
  globalIgnores(["**/node_modules/", "**/generated/", "**/dist/", "**/coverage/", ".data/", "data/"]),
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["**/*.ts", "**/*.tsx"],
    plugins: { "@typescript-eslint": tseslint.plugin, sba: { rules: { "own-tables": ownTables } } },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: "tsconfig.json", tsconfigRootDir: import.meta.dirname },
    },
    rules: { ...plain, ...typed, "sba/own-tables": "error" },
  },
  {
    files: ["packages/platform/src/config.ts", "clients/cli/src/settings.ts", ...TESTS, ...TOOLS],
    rules: { "no-restricted-properties": "off" },
  },
  // What people read in a terminal.
  { files: [...TESTS, ...TOOLS, "schema/{build,manifest}.ts", "prisma/**"], rules: { "no-console": "off" } },
  {
    // Half of a component is markup, a line an attribute.
    files: ["**/*.tsx"],
    rules: { "max-lines-per-function": ["warn", { max: 80, skipComments: true, skipBlankLines: true }] },
  },
  {
    files: TESTS,
    rules: {
      // A suite is one function, as long as what it says.
      "max-lines-per-function": "off",
      // Tests set the stage, and look behind it, with other domains' tables.
      "sba/own-tables": "off",
      // Answers are compared as they came, and matchers are of type any.
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off",
    },
  },
  {
    // The API as clients see it: names that agree with one another, and words where somebody would ask.
    files: ["schema/api.graphql"],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "schema/api.graphql" } },
    },
    plugins: { "@graphql-eslint": { rules: graphql.rules } },
    rules: {
      "@graphql-eslint/naming-convention": [
        "error",
        {
          types: "PascalCase",
          FieldDefinition: "camelCase",
          InputValueDefinition: "camelCase",
          Argument: "camelCase",
          DirectiveDefinition: "camelCase",
          EnumValueDefinition: "UPPER_CASE",
          "FieldDefinition[parent.name.value=Query]": {
            style: "camelCase",
            forbiddenPrefixes: ["get", "list", "find", "query"],
          },
          "FieldDefinition[parent.name.value=Mutation]": { style: "camelCase", forbiddenSuffixes: ["Mutation"] },
        },
      ],
      "@graphql-eslint/require-description": ["error", { rootField: true }],
      "@graphql-eslint/no-typename-prefix": "error",
      "@graphql-eslint/require-deprecation-reason": "error",
      "@graphql-eslint/no-hashtag-description": "error",
      "@graphql-eslint/relay-page-info": "off",
      "@graphql-eslint/relay-edge-types": [
        "error",
        { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
      ],
      "@graphql-eslint/relay-connection-types": "error",
    },
  },
  prettier,
]);
