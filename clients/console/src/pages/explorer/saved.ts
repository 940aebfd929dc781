import { operationsOf } from "./operations.ts";

const FILES = import.meta.glob<string>("../../../../typescript/operations/*.graphql", {
  eager: true,
  query: "?raw",
  import: "default",
});

/** What the typed client sends; loaded with the explorer. */
export const SAVED = operationsOf(Object.values(FILES));
