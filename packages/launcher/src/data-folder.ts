import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { endProcess, isRunning, markOf, type ProcessMark } from "./process-mark.ts";

/** One supervisor at a time has a data folder; what a killed one left running is ended by the next. */

export interface DataFolder {
  readonly path: string;
  /** Notes a process of ours, for the supervisor that may have to end it. */
  record(name: string, pid: number): void;
  /** Says that this supervisor is going: a start that comes now waits for it. */
  leave(): void;
  /** Gives the folder up. */
  release(): void;
}

/** Another supervisor runs on the folder. */
export class DataFolderInUse extends Error {
  override readonly name = "DataFolderInUse";
}

const markSchema = z.object({ pid: z.number(), startedAt: z.string() });
const recordSchema = z.object({
  supervisor: markSchema,
  isLeaving: z.boolean(),
  processes: z.record(z.string(), markSchema),
});
type FolderRecord = z.infer<typeof recordSchema>;

const LEAVING_TIMEOUT_MS = 40_000;
/** A supervisor whose terminal or npm was just killed hears of it within this time. */
const HEARSAY_MS = 1_500;
const ORPHAN_GRACE_MS = 10_000;
const LOOK_AGAIN_MS = 50;

/**
 * Takes the folder, making it when it is not there, and ends what an earlier supervisor left behind.
 * @throws DataFolderInUse when another one runs on it.
 */
export async function takeDataFolder(path: string): Promise<DataFolder> {
  // Others may pass through, as the database's user does when this is root's; every file of ours is closed to them.
  mkdirSync(path, { recursive: true, mode: 0o711 });
  const file = join(path, "supervisor.json");
  const record: FolderRecord = { supervisor: ownMark(), isLeaving: false, processes: {} };
  const startedAt = Date.now();
  while (!tryCreate(file, record)) {
    const holder = read(file);
    if (holder && isRunning(holder.supervisor)) {
      const patienceMs = holder.isLeaving ? LEAVING_TIMEOUT_MS : HEARSAY_MS;
      if (Date.now() - startedAt > patienceMs) throw inUse(path, holder);
      await delay(LOOK_AGAIN_MS);
    } else {
      await endOrphans(holder);
      discard(file, holder);
    }
  }
  return openFolder(path, file, record);
}

function ownMark(): ProcessMark {
  const mark = markOf(process.pid);
  if (!mark) throw new Error("this process does not find itself among the processes");
  return mark;
}

function inUse(path: string, { supervisor }: FolderRecord): DataFolderInUse {
  return new DataFolderInUse(
    `The data folder ${path} is in use by process ${supervisor.pid}: stop that, or set DATA_DIR to another folder.`,
  );
}

/** Creates the file with its content at once; false when there is one. */
function tryCreate(file: string, record: FolderRecord): boolean {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(record), { mode: 0o600 });
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function read(file: string): FolderRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(readFileSync(file, "utf8"))).data;
  } catch {
    return undefined;
  }
}

async function endOrphans(record: FolderRecord | undefined): Promise<void> {
  await Promise.all(Object.values(record?.processes ?? {}).map((mark) => endProcess(mark, ORPHAN_GRACE_MS)));
}

/** Removes the file of a supervisor that is gone, unless another start was faster and it is that one's by now. */
function discard(file: string, holder: FolderRecord | undefined): void {
  const current = read(file);
  if (
    current?.supervisor.pid === holder?.supervisor.pid &&
    current?.supervisor.startedAt === holder?.supervisor.startedAt
  )
    rmSync(file, { force: true });
}

function openFolder(path: string, file: string, record: FolderRecord): DataFolder {
  const save = (): void => {
    writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  return {
    path,
    record: (name, pid) => {
      const mark = markOf(pid);
      if (mark) record.processes[name] = mark;
      save();
    },
    leave: () => {
      record.isLeaving = true;
      save();
    },
    release: () => {
      rmSync(file, { force: true });
    },
  };
}
