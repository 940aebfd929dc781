import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";

/** Prisma's official CLI on our schema engine. */

const ROOT = join(import.meta.dirname, "..");

export interface CliResult {
  readonly exitCode: number;
  /** Standard output and error, as they came. */
  readonly output: string;
}

/** Runs `prisma <args>` against a database; `adminUrl` is of the tables' owner. */
export function runPrisma(args: readonly string[], adminUrl: string): Promise<CliResult> {
  const cli = createRequire(join(ROOT, "package.json")).resolve("prisma/build/index.js");
  const child = spawn(process.execPath, [cli, ...args], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      DATABASE_ADMIN_URL: adminUrl,
      PRISMA_SCHEMA_ENGINE_BINARY: join(import.meta.dirname, "schema-engine.ts"),
      PRISMA_HIDE_UPDATE_MESSAGE: "1",
      CHECKPOINT_DISABLE: "1",
      // The engine is started by its first line, "env node", which must be this Node and not the system's.
      PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}`,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve({ exitCode: code ?? 1, output });
    });
  });
}
