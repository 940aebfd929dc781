import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

interface Wanted {
  readonly debianPackage: string;
  /** What is said where it is not there and cannot be installed. */
  readonly otherwise: string;
}

/** The path of a program that npm does not have; installs Debian's package when running as root there. @throws Error */
export function findProgram(name: string, { debianPackage, otherwise }: Wanted): string {
  const found = onPath(name);
  if (found) return found;
  const mayInstall = process.getuid?.() === 0 && existsSync("/etc/debian_version");
  if (mayInstall && installWithApt(debianPackage)) return onPath(name) ?? `/usr/bin/${name}`;
  throw new Error(otherwise);
}

function onPath(name: string): string | undefined {
  return (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

function installWithApt(debianPackage: string): boolean {
  process.stderr.write(`Installing ${debianPackage} from Debian's packages (once) ...\n`);
  // A package may start a server of its own; tests start theirs.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const run = (args: readonly string[]): boolean =>
    spawnSync("apt-get", [...args, "-o", "DPkg::Lock::Timeout=120"], { env, stdio: "ignore" }).status === 0;
  return run(["update"]) && run(["install", "-y", "--no-install-recommends", debianPackage]);
}
