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

/**
 * In a frame of the console, which asks in its place: the page has no token and may connect to nowhere. The console gives it a port
 * (`{ theme }`, and one end of a MessageChannel); `{ id, query, variables, operationName }` is asked by it, `{ id, result }`... answered.
 */
const HOSTED_START = `
  const asked = new Map();
  const root = ReactDOM.createRoot(document.getElementById("graphiql"));
  const nothing = { getItem: () => null, setItem: () => {}, removeItem: () => {}, clear: () => {}, length: 0 };
  let next = 0;
  // GraphiQL itself says only that there was an error.
  const sayWhyNoSchema = (why) => document.documentElement.style.setProperty("--why-no-schema", JSON.stringify(why));
  const start = (port, props) => {
    const fetcher = ({ query, variables, operationName }) => ({
      subscribe: (observer) => {
        const id = ++next;
        asked.set(id, { observer, isOfSchema: query.includes("__schema") });
        port.postMessage({ id, query, variables, operationName });
        return { unsubscribe: () => { asked.delete(id); port.postMessage({ id, stop: true }); } };
      },
    });
    const show = () => root.render(React.createElement(GraphiQL, { fetcher, storage: nothing, ...props }));
    port.onmessage = ({ data }) => {
      if (data.props) { props = { ...props, ...data.props }; show(); }
      const { observer, isOfSchema } = asked.get(data.id) ?? {};
      if (!observer) return;
      const refusal = data.error ?? (data.result?.data ? undefined : data.result?.errors?.[0]?.message);
      if (isOfSchema && refusal) sayWhyNoSchema(refusal);
      if (data.result) observer.next(data.result);
      if (data.error) { asked.delete(data.id); observer.error(new Error(data.error)); }
      if (data.isDone) { asked.delete(data.id); observer.complete(); }
    };
    show();
  };
  addEventListener("message", ({ source, origin, data, ports }) => {
    if (source === parent && origin === location.origin && ports[0]) start(ports[0], data.props);
  });`;

/** @param scripts their addresses, or what they do */
function pageOf(scripts: readonly string[]): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>GraphiQL</title>
<link rel="stylesheet" href="${GRAPHIQL_PATH}/graphiql.css"><style>html, body, #graphiql { height: 100%; margin: 0 }
.graphiql-doc-explorer-error::after { display: block; content: var(--why-no-schema, "") }</style></head>
<body><div id="graphiql"></div>
<script src="${GRAPHIQL_PATH}/react.js"></script>
<script src="${GRAPHIQL_PATH}/react-dom.js"></script>
<script src="${GRAPHIQL_PATH}/graphiql.js"></script>
${scripts.join("\n")}
</body>
</html>
`;
}

const POLICY = [
  "default-src 'none'",
  "style-src 'self' 'unsafe-inline'",
  "font-src 'self' data:",
  "img-src 'self' data:",
  "base-uri 'none'",
];

const PAGE: Page = {
  contentSecurityPolicy: [
    ...POLICY,
    "script-src 'self' 'unsafe-inline'",
    "connect-src 'self' ws: wss:",
    "frame-ancestors 'none'",
  ].join("; "),
  html: pageOf([`<script>${START}</script>`]),
};

const HOSTED: Page = {
  contentSecurityPolicy: [...POLICY, "script-src 'self'", "frame-ancestors 'self'"].join("; "),
  html: pageOf([`<script src="${GRAPHIQL_PATH}/hosted.js"></script>`]),
};

/** @param options.alone also as a page of its own, which asks for a token; `hosted`: in a frame of the console */
export function mountGraphiql(
  app: FastifyInstance,
  { alone, hosted }: { readonly alone: boolean; readonly hosted: boolean },
): void {
  if (!alone && !hosted) return;
  if (alone)
    app.get(GRAPHIQL_PATH, (_request, reply) =>
      reply
        .header("content-security-policy", PAGE.contentSecurityPolicy)
        .type("text/html; charset=utf-8")
        .send(PAGE.html),
    );
  if (hosted) {
    app.get(`${GRAPHIQL_PATH}/hosted`, (_request, reply) =>
      reply
        .headers({ "content-security-policy": HOSTED.contentSecurityPolicy, "x-frame-options": "SAMEORIGIN" })
        .type("text/html; charset=utf-8")
        .send(HOSTED.html),
    );
    app.get(`${GRAPHIQL_PATH}/hosted.js`, (_request, reply) =>
      reply.header("cache-control", "no-cache").type("text/javascript; charset=utf-8").send(HOSTED_START),
    );
  }
  for (const [name, { from, type }] of Object.entries(ASSETS))
    app.get(`${GRAPHIQL_PATH}/${name}`, async (_request, reply) =>
      reply
        .header("cache-control", `public, max-age=${KEPT_S}`)
        .type(`${type}; charset=utf-8`)
        .send(await readFile(fileOf(...from))),
    );
}
