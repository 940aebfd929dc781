// A codegen plugin: which version of the API the generated files are for, as the gateway says it in `x-api-version`.
const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");

module.exports = {
  plugin(_schema, _documents, { supergraph }) {
    const version = createHash("sha256").update(readFileSync(supergraph)).digest("base64url").slice(0, 16);
    return `/** The hash of the supergraph that this client was made for. */\nexport const API_VERSION: string = "${version}";\n`;
  },
};
