// A codegen plugin: which version of the API the generated files are for, as the gateway says it in `x-api-version`; and which client
// they belong to, as it names itself (what follows the + in its version says the same of the API in another way).
const { createHash } = require("node:crypto");
const { readFileSync } = require("node:fs");

module.exports = {
  plugin(_schema, _documents, { supergraph, manifest }) {
    const version = createHash("sha256").update(readFileSync(supergraph)).digest("base64url").slice(0, 16);
    const { name, version: whole } = JSON.parse(readFileSync(manifest, "utf8"));
    return `/** The hash of the supergraph that this client was made for. */\nexport const API_VERSION: string = "${version}";
/** What the client calls itself: the documents that it was released with are registered under this name. */
export const CLIENT: Readonly<Record<"name" | "version", string>> = { name: "${name}", version: "${whole.split("+")[0]}" };
`;
  },
};
