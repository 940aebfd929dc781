import { aCaller } from "@sba/testkit/fixtures";
import { z } from "zod";
import { toolContract } from "./testing.ts";
import { defineTool } from "./tool/tool.ts";

// The suite itself, over the smallest tools there can be: one that answers and one that never does.
const base = {
  version: 1,
  description: "Answers with what it was told.",
  params: z.object({ text: z.string() }),
  result: z.object({ text: z.string() }),
  example: { text: "hello" },
  requires: ["knowledge:read"],
  approval: "NEVER",
  sideEffect: false,
  idempotent: true,
  timeoutMs: 1_000,
} as const;

toolContract(
  [
    defineTool({
      ...base,
      name: "test.echo",
      execute: (_context, { text }: { text: string }) => Promise.resolve({ text }),
    }),
    defineTool({ ...base, name: "test.silent", execute: () => new Promise<never>(() => undefined) }),
  ],
  aCaller,
);
