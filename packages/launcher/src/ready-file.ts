import { renameSync, rmSync, writeFileSync } from "node:fs";
import type { DemoTenant, ServerAddresses } from "./messages.ts";

/** What tools and people need to use a running system. */
export interface ReadyInfo extends ServerAddresses {
  readonly pids: { readonly server: number | null; readonly worker: number | null };
  readonly tenants: readonly DemoTenant[];
}

/** Writes the file whole or not at all; it holds tokens, so only its owner may read it. */
export function writeReadyFile(path: string, info: ReadyInfo): void {
  const draft = `${path}.${process.pid}`;
  rmSync(draft, { force: true });
  writeFileSync(draft, `${JSON.stringify(info, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, path);
}

export function deleteReadyFile(path: string): void {
  rmSync(path, { force: true });
}
