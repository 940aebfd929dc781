import { spawn, type ChildProcess } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The command-line client as people and scripts start it: a process of its own. */

const MAIN = fileURLToPath(new URL("../../clients/cli/src/main.ts", import.meta.url));

const COMPILE_CACHE = join(tmpdir(), "sba-compile-cache");

export interface SbaResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Sba {
  readonly child: ChildProcess;
  stderr(): string;
  readonly ended: Promise<SbaResult>;
}

/** Starts it with nothing of this machine's environment that it reads. */
export function startSba(args: readonly string[], env: NodeJS.ProcessEnv = {}): Sba {
  const { SBA_URL: _url, SBA_TOKEN: _token, ...inherited } = process.env;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN, ...args], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    // Each start would otherwise take the types out of the same files again.
    env: { ...inherited, XDG_CONFIG_HOME: "/nonexistent", NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const printed = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (chunk: Buffer) => {
      printed[name] += chunk.toString();
    });
  const ended = new Promise<SbaResult>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve({ exitCode: code ?? -1, ...printed });
    });
  });
  return { child, stderr: () => printed.stderr, ended };
}

export function sba(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<SbaResult> {
  return startSba(args, env).ended;
}
