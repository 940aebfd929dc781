import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { EMBEDDED_SETTINGS, startCluster, type Cluster } from "@sba/launcher/postgres";

/** What a benchmark opens is closed again, last opened first: when it is done, when it fails, and when it is interrupted. */

type Close = () => Promise<void> | void;

const opened: Close[] = [];

/** Runs `work`, then `close`. */
export async function closing<T>(close: Close, work: () => Promise<T>): Promise<T> {
  opened.push(close);
  try {
    return await work();
  } finally {
    // Interrupted: it is being closed already.
    if (opened.at(-1) === close) await opened.pop()?.();
  }
}

/** Ctrl-C, or whoever ends this process: nothing stays behind. */
export function closeWhenInterrupted(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void closeAll().finally(() => process.exit(128 + constants.signals[signal])));
  }
}

async function closeAll(): Promise<void> {
  for (let close = opened.pop(); close !== undefined; close = opened.pop()) await close();
}

/** A folder for the time of `work`. */
export function inFolder<T>(work: (path: string) => Promise<T>): Promise<T> {
  const path = mkdtempSync(join(tmpdir(), "sba-bench-"));
  chmodSync(path, 0o711); // the database's user is another one when this one is root
  return closing(
    () => rmSync(path, { recursive: true, force: true }),
    () => work(path),
  );
}

/** An embedded Postgres of its own, set as in `npm start` and with `more`, for the time of `work`. */
export function withCluster<T>(
  work: (cluster: Cluster, folder: string) => Promise<T>,
  more: Readonly<Record<string, string>> = {},
): Promise<T> {
  return inFolder(async (folder) => {
    const directory = join(folder, "postgres");
    const cluster = await startCluster({
      directory,
      password: "postgres",
      settings: { ...EMBEDDED_SETTINGS, ...more },
      diesWithParent: true,
    });
    return closing(
      () => cluster.stop(),
      () => work(cluster, folder),
    );
  });
}
