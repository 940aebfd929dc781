/** Pages for people: Apollo Sandbox in development, and what `/` says where there is no console. */

export interface Page {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

const SANDBOX = "https://embeddable-sandbox.cdn.apollographql.com";
const SANDBOX_SCRIPT = `${SANDBOX}/_latest/embeddable-sandbox.umd.production.min.js`;
const SANDBOX_FRAME = "https://sandbox.embed.apollographql.com";

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
  code, pre { font: 14px/1.5 ui-monospace, monospace; background: #f2f2f2 }
  pre { padding: 1rem; overflow: auto }
  #sandbox iframe { position: fixed; inset: 0; width: 100%; height: 100%; border: 0 }
  @media (prefers-color-scheme: dark) { body { color: #eee; background: #161616 } code, pre { background: #262626 } a { color: #8ab4ff } }`;

/** Apollo Sandbox, loaded from Apollo's CDN; without that network the page says how to ask by hand. */
export function explorerPage(): Page {
  const script = `
    const socket = location.origin.replace(/^http/, "ws") + "/graphql";
    document.querySelectorAll("[data-origin]").forEach((node) => { node.textContent = node.textContent.replaceAll("ORIGIN", location.origin); });
    if (window.EmbeddedSandbox) {
      document.getElementById("by-hand").hidden = true;
      new window.EmbeddedSandbox({
        target: "#sandbox",
        initialEndpoint: location.origin + "/graphql",
        initialSubscriptionEndpoint: socket,
        initialState: { pollForSchemaUpdates: false, sharedHeaders: { authorization: "Bearer " } },
      });
    }`;
  return {
    contentSecurityPolicy: [
      "default-src 'none'",
      `script-src 'unsafe-inline' ${SANDBOX}`,
      "style-src 'unsafe-inline'",
      `img-src 'self' data: https:`,
      "connect-src 'self' ws: wss:",
      `frame-src ${SANDBOX_FRAME}`,
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    html: page(
      "GraphQL",
      `
  <div id="sandbox"></div>
  <div id="by-hand">
    <h1>GraphQL</h1>
    <p>Apollo Sandbox opens here when <a href="https://studio.apollographql.com/sandbox/explorer">Apollo's network</a> can be reached.
       Without it, use <a href="/graphiql">GraphiQL</a>, ask by hand, or point any GraphQL client at this address:</p>
    <pre data-origin>curl ORIGIN/graphql -H 'content-type: application/json' \\
  -H 'authorization: Bearer TOKEN' \\
  -d '{"query":"{ me { id displayName permissions } }"}'</pre>
    <p>A token comes from <code>signIn</code>, or, in the demonstration, from <code>.data/ready.json</code>. Subscriptions speak
       <code>graphql-transport-ws</code> on the same path, with <code>connection_init {"authorization":"Bearer TOKEN"}</code>.</p>
    <p><a href="/">Back</a></p>
  </div>
  <script src="${SANDBOX_SCRIPT}"></script>
  <script>${script}</script>`,
    ),
  };
}

/** What is here and where to go. */
export function indexPage(options: { readonly explorer: boolean }): Page {
  const explorer = options.explorer
    ? `<li><a href="/graphql">Explore the API</a> (Apollo Sandbox), or <a href="/graphiql">with GraphiQL</a>, which needs no other network</li>`
    : "";
  return {
    contentSecurityPolicy: "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    html: page(
      "SBA Agentic",
      `
  <h1>SBA Agentic</h1>
  <p>A platform on which businesses run AI agents and workflows, as one federated GraphQL API.</p>
  <ul>
    <li><code>/graphql</code>: queries and mutations over HTTP, subscriptions over WebSocket on the same path</li>
    ${explorer}
    <li><a href="/.well-known/jwks.json">/.well-known/jwks.json</a>: the public keys of its tokens</li>
    <li><a href="/livez">/livez</a> and <a href="/readyz">/readyz</a></li>
  </ul>`,
    ),
  };
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${STYLE}
</style></head>
<body>${body}
</body>
</html>
`;
}
