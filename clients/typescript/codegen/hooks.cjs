// A codegen plugin: one thin, named React hook for each operation, over the typed documents beside it. The community's
// plugin for Apollo does not type-check with Apollo Client 4. CommonJS, because codegen loads local plugins with require().
const { concatAST, Kind } = require("graphql");

const pascal = (name) => name.charAt(0).toUpperCase() + name.slice(1);

function requiresVariables({ variableDefinitions = [] }) {
  return variableDefinitions.some(({ type, defaultValue }) => type.kind === Kind.NON_NULL_TYPE && !defaultValue);
}

const WRITERS = {
  query: ({ type, variables, document, required }) => {
    const options = `useQuery.Options<${type}, ${variables}>`;
    const given = required
      ? `(Omit<${options}, "variables"> & { variables: ${variables} }) | SkipToken`
      : `${options} | SkipToken`;
    return `export const use${type} = (options${required ? "" : "?"}: ${given}) =>\n  useQuery(${document}, options as ${options});`;
  },
  mutation: ({ type, variables, document }) =>
    `export const use${type} = (options?: useMutation.Options<${type}, ${variables}>) =>\n  useMutation<${type}, ${variables}>(${document}, options);`,
  subscription: ({ type, variables, document, required }) => {
    const options = `useSubscription.Options<${type}, ${variables}>`;
    const optional = required ? "" : "?";
    return `export const use${type} = (options${optional}: Omit<${options}, "variables"> & { variables${optional}: ${variables} }) =>\n  useSubscription<${type}, ${variables}>(${document}, options as ${options});`;
  },
};

function describe(operation) {
  const name = pascal(operation.name.value);
  const type = `${name}${pascal(operation.operation)}`;
  return {
    kind: operation.operation,
    type,
    variables: `${type}Variables`,
    document: `${name}Document`,
    required: requiresVariables(operation),
  };
}

module.exports = {
  plugin(_schema, documents) {
    const operations = concatAST(documents.map(({ document }) => document))
      .definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION && definition.name)
      .map(describe);
    const kinds = new Set(operations.map(({ kind }) => kind));
    const hooks = ["query", "mutation", "subscription"]
      .filter((kind) => kinds.has(kind))
      .map((kind) => `use${pascal(kind)}`);
    const names = operations.flatMap(({ type, variables, document }) => [
      document,
      `type ${type}`,
      `type ${variables}`,
    ]);
    return {
      prepend: [
        "/* eslint-disable */",
        `import { ${hooks.join(", ")}${kinds.has("query") ? ", type SkipToken" : ""} } from "@apollo/client/react";`,
        `import {\n  ${names.join(",\n  ")},\n} from "./graphql.ts";\n`,
      ],
      content: `${operations.map((operation) => WRITERS[operation.kind](operation)).join("\n\n")}\n`,
    };
  },
};
