import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** A process that can be recognised later: its pid may by then belong to another. */
export interface ProcessMark {
  readonly pid: number;
  /** When it started, in whatever words the system has for that. */
  readonly startedAt: string;
}

const LOOK_AGAIN_MS = 25;

/** Undefined when there is no such process, or only what is left of one. */
export function markOf(pid: number): ProcessMark | undefined {
  const startedAt = process.platform === "linux" ? startFromProc(pid) : startFromPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the name may hold spaces and brackets, so count behind the last one.
function startFromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return undefined;
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}/${fields[18] ?? ""}`;
  } catch {
    return undefined;
  }
}

function startFromPs(pid: number): string | undefined {
  const { status, stdout } = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" });
  return status === 0 && stdout.trim() !== "" ? stdout.trim() : undefined;
}

/** True while this very process runs. */
export function isRunning(mark: ProcessMark): boolean {
  return markOf(mark.pid)?.startedAt === mark.startedAt;
}

/** Waits until the process is gone; false when it still runs after the time. */
export async function untilGone(mark: ProcessMark, timeoutMs: number): Promise<boolean> {
  for (const deadline = Date.now() + timeoutMs; isRunning(mark); await delay(LOOK_AGAIN_MS)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}

/** Ends a process that is not our child: asks, waits, and then does not ask. */
export async function endProcess(mark: ProcessMark, graceMs: number): Promise<void> {
  if (!isRunning(mark)) return;
  sendSignal(mark.pid, "SIGTERM");
  if (await untilGone(mark, graceMs)) return;
  sendSignal(mark.pid, "SIGKILL");
  await untilGone(mark, graceMs);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    /* it went by itself */
  }
}
