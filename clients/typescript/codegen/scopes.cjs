// A codegen plugin: the permissions without which the gateway refuses an operation, as it reads them from the supergraph: of all that a
// query or mutation selects, and of a subscription's root, whose other fields may be null (gateway/src/enforce.ts).
const { readFileSync } = require("node:fs");
const {
  concatAST,
  getNamedType,
  isAbstractType,
  parse,
  separateOperations,
  TypeInfo,
  visit,
  visitWithTypeInfo,
} = require("graphql");

module.exports = {
  plugin(schema, documents, { supergraph }) {
    const demanded = indexOf(parse(readFileSync(supergraph, "utf8")));
    const all = concatAST(documents.map(({ document }) => document));
    const lines = Object.entries(separateOperations(all)).map(
      ([name, document]) => `  ${name}: ${JSON.stringify([...scopesOf(schema, demanded, document)].sort())},`,
    );
    return `/** The permissions that each operation needs, all of them. */
export const SCOPES: Readonly<Record<string, readonly string[]>> = {\n${lines.sort().join("\n")}\n};\n`;
  },
};

/** By coordinate. */
function indexOf({ definitions }) {
  const index = new Map();
  for (const { name, directives, fields } of definitions) {
    if (!name) continue;
    index.set(name.value, directiveScopes(directives));
    for (const field of fields ?? []) index.set(`${name.value}.${field.name.value}`, directiveScopes(field.directives));
  }
  return index;
}

function directiveScopes(directives = []) {
  return directives
    .filter(({ name }) => name.value === "requiresScopes")
    .flatMap(({ arguments: [scopes] }) => {
      if (scopes.value.values.length !== 1) throw new Error("scopes of which one is enough are not known here");
      return scopes.value.values[0].values.map(({ value }) => value);
    });
}

function scopesOf(schema, demanded, document) {
  const found = new Set();
  const add = (coordinate) => {
    for (const scope of demanded.get(coordinate) ?? []) found.add(scope);
  };
  const types = new TypeInfo(schema);
  const withPossible = (type) => (isAbstractType(type) ? [type, ...schema.getPossibleTypes(type)] : [type]);
  const isStream = document.definitions.some(({ operation }) => operation === "subscription");
  visit(
    document,
    visitWithTypeInfo(types, {
      Field: ({ name: { value } }) => {
        const [parent, field] = [types.getParentType(), types.getFieldDef()];
        if (!parent || !field || value.startsWith("__")) return;
        if (isStream && parent !== schema.getSubscriptionType()) return;
        for (const type of withPossible(parent)) add(`${type.name}.${value}`);
        if (isStream) return;
        for (const type of withPossible(getNamedType(field.type))) add(type.name);
      },
    }),
  );
  return found;
}
