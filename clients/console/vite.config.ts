import { readdirSync } from "node:fs";
import { join } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { compressed } from "./build/compress.ts";

/** Where the API of a system that runs is, for the development server: `npm run console -- http://127.0.0.1:4000`. */
const API = process.argv.find((argument) => argument.startsWith("http")) ?? "http://127.0.0.1:4000";
/** Whatever else the gateway serves is its own: the console asks it for these. */
const PROXIED = ["/graphql", "/artifacts", "/documents", "/graphiql", "/uploads", "/workflow/runs"];

/** Tells the gateway which paths are the console's: each folder of `src/pages` is one. */
function routes(): Plugin {
  return {
    name: "sba-routes",
    apply: "build",
    generateBundle() {
      const pages = readdirSync(join(import.meta.dirname, "src/pages"), { withFileTypes: true });
      const source = JSON.stringify(pages.filter((entry) => entry.isDirectory()).map(({ name }) => name));
      this.emitFile({ type: "asset", fileName: "routes.json", source });
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react(), routes(), compressed()],
  // The gateway puts a nonce of each answer in its place, for the style elements that Mantine writes.
  html: { cspNonce: "SBA_NONCE" },
  build: {
    target: "es2023",
    // Inline scripts are refused by the content security policy.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 900,
    reportCompressedSize: false,
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(PROXIED.map((path) => [path, { target: API, ws: path === "/graphql" }])),
  },
});
