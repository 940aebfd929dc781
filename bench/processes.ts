import { readdirSync, readFileSync } from "node:fs";

/** Processes as Linux shows them in /proc. Elsewhere there are none. */

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** The process and everything below it, by parentage: a session of its own takes nobody out of the tree. */
export function treeOf(pid: number, all: readonly ProcessInfo[] = listProcesses()): ProcessInfo[] {
  const own = all.filter((each) => each.pid === pid);
  return [...own, ...all.filter((each) => each.parent === pid).flatMap((child) => treeOf(child.pid, all))];
}

function listProcesses(): ProcessInfo[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

/** Undefined when it ended meanwhile. */
function readProcess(pid: number): ProcessInfo | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: the name may hold brackets, so count behind the last one.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return { pid, parent, command: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim() };
  } catch {
    return undefined;
  }
}

/** MiB that these processes take: what they share is divided among those who share it (Pss), so that a sum is honest. */
export function proportionalMiB(processes: readonly ProcessInfo[]): number {
  return processes.reduce((sum, { pid }) => sum + pssKiB(pid), 0) / 1024;
}

function pssKiB(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Scheduler ticks a second in /proc: USER_HZ, 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Milliseconds that these processes, and children of theirs that ended, have computed. */
export function cpuMs(processes: readonly ProcessInfo[]): number {
  const ticks = processes.reduce((sum, { pid }) => sum + ticksOf(pid), 0);
  return (ticks * 1000) / TICKS_PER_SECOND;
}

function ticksOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // utime stime cutime cstime: the 14th to 17th field, of which two stand before the bracket.
    const times = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 15);
    return times.reduce((sum, time) => sum + Number(time), 0);
  } catch {
    return 0;
  }
}
