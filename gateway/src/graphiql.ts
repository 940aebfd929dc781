import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { FastifyInstance } from "fastify";
import type { Page } from "./explorer.ts";

/** GraphiQL, with all that it is made of from our own dependencies: it works where Apollo's network does not reach. */

export const GRAPHIQL_PATH = "/graphiql";

const { resolve } = createRequire(import.meta.url);

/** A file of a dependency that it does not export: beside its package.json, which all do. */
function fileOf(dependency: string, file: string): string {
  return join(dirname(resolve(`${dependency}/package.json`)), file);
}

/** Asked for by name; nothing else of a dependency can be read. */
const ASSETS: Readonly<Record<string, { readonly from: readonly [string, string]; readonly type: string }>> = {
  "react.js": { from: ["react", "umd/react.production.min.js"], type: "text/javascript" },
  "react-dom.js": { from: ["react-dom", "umd/react-dom.production.min.js"], type: "text/javascript" },
  "graphiql.js": { from: ["graphiql", "graphiql.min.js"], type: "text/javascript" },
  "graphiql.css": { from: ["graphiql", "graphiql.min.css"], type: "text/css" },
};
const KEPT_S = 86_400;

const START = `
  const headers = localStorage.getItem("graphiql:headers") ?? '{ "authorization": "Bearer " }';
  const socket = location.origin.replace(/^http/, "ws") + "/graphql";
  const authorization = () => { try { return JSON.parse(localStorage.getItem("graphiql:headers") ?? headers).authorization; } catch { return undefined; } };
  const fetcher = GraphiQL.createFetcher({
    url: location.origin + "/graphql",
    subscriptionUrl: socket,
    wsConnectionParams: () => ({ authorization: authorization() }),
  });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, {
    fetcher, defaultHeaders: headers, shouldPersistHeaders: true, defaultEditorToolsVisibility: "headers",
    defaultQuery: "# The console's and the clients' documents are in clients/typescript/operations.\\n{ me { displayName permissions } }\\n",
  }));`;

const PAGE: Page = {
  contentSecurityPolicy: [
    "default-src 'none'",
    "script-src 'self' 'unsafe-inline'",
    "style-src 'self' 'unsafe-inline'",
    "font-src 'self' data:",
    "img-src 'self' data:",
    "connect-src 'self' ws: wss:",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  html: `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>GraphiQL</title>
<link rel="stylesheet" href="${GRAPHIQL_PATH}/graphiql.css"><style>html, body, #graphiql { height: 100%; margin: 0 }</style></head>
<body><div id="graphiql"></div>
<script src="${GRAPHIQL_PATH}/react.js"></script>
<script src="${GRAPHIQL_PATH}/react-dom.js"></script>
<script src="${GRAPHIQL_PATH}/graphiql.js"></script>
<script>${START}</script>
</body>
</html>
`,
};

export function mountGraphiql(app: FastifyInstance): void {
  app.get(GRAPHIQL_PATH, (_request, reply) =>
    reply
      .header("content-security-policy", PAGE.contentSecurityPolicy)
      .type("text/html; charset=utf-8")
      .send(PAGE.html),
  );
  for (const [name, { from, type }] of Object.entries(ASSETS))
    app.get(`${GRAPHIQL_PATH}/${name}`, async (_request, reply) =>
      reply
        .header("cache-control", `public, max-age=${KEPT_S}`)
        .type(`${type}; charset=utf-8`)
        .send(await readFile(fileOf(...from))),
    );
}
