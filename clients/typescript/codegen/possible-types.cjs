// A codegen plugin: the types of each interface, without which Apollo Client's cache would lose what events hold.
module.exports = {
  plugin(schema) {
    const interfaces = Object.values(schema.getTypeMap()).filter(
      (type) => type.astNode?.kind === "InterfaceTypeDefinition" || type.astNode?.kind === "UnionTypeDefinition",
    );
    const entries = interfaces.map((type) => {
      const names = schema.getPossibleTypes(type).map(({ name }) => `"${name}"`);
      return `  ${type.name}: [${names.join(", ")}],`;
    });
    return `/** For \`new InMemoryCache({ possibleTypes })\`. */\nexport const possibleTypes: Record<string, string[]> = {\n${entries.join("\n")}\n};\n`;
  },
};
