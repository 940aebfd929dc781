// A codegen plugin: one thin, named React hook for each operation, over the typed documents beside it. The community's
// plugin for Apollo does not type-check with Apollo Client 4.
const { operationsOf, pascal } = require("./operations.cjs");

const WRITERS = {
  query: ({ type, variablesType, document, required }) => {
    const options = `useQuery.Options<${type}, ${variablesType}>`;
    const given = required
      ? `(Omit<${options}, "variables"> & { variables: ${variablesType} }) | SkipToken`
      : `${options} | SkipToken`;
    return `export const use${type} = (options${required ? "" : "?"}: ${given}) =>\n  useQuery(${document}, options as ${options});`;
  },
  mutation: ({ type, variablesType, document }) =>
    `export const use${type} = (options?: useMutation.Options<${type}, ${variablesType}>) =>\n  useMutation<${type}, ${variablesType}>(${document}, options);`,
  subscription: ({ type, variablesType, document, required }) => {
    const options = `useSubscription.Options<${type}, ${variablesType}>`;
    const optional = required ? "" : "?";
    return `export const use${type} = (options${optional}: Omit<${options}, "variables"> & { variables${optional}: ${variablesType} }) =>\n  useSubscription<${type}, ${variablesType}>(${document}, options as ${options});`;
  },
};

module.exports = {
  plugin(_schema, documents) {
    const operations = operationsOf(documents);
    const kinds = new Set(operations.map(({ kind }) => kind));
    const hooks = ["query", "mutation", "subscription"]
      .filter((kind) => kinds.has(kind))
      .map((kind) => `use${pascal(kind)}`);
    const names = operations.flatMap(({ type, variablesType, document }) => [
      document,
      `type ${type}`,
      `type ${variablesType}`,
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
