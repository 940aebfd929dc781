// A codegen plugin: which version of the API the generated files are for, and the gateway says in `x-api-version`.
const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");

module.exports = {
  plugin(_schema, _documents, { supergraph }) {
    const hash = createHash("sha256").update(readFileSync(supergraph)).digest("hex").slice(0, 12);
    return `/** The hash of the supergraph that this client was made for. */\nexport const API_VERSION: string = "${hash}";\n`;
  },
};
