import { cpuMs, treeOf } from "../processes.ts";

/** What processes compute while a meter runs; unlike time, it does not depend on who else computes. */
export interface CpuMeter {
  start(): void;
  /** Milliseconds since the start, of each part. */
  stop(): Readonly<Record<string, number>>;
}

/** A part is a process and everything below it. */
export function openCpuMeter(pidsOf: () => Readonly<Record<string, number>>): CpuMeter {
  const read = () => Object.entries(pidsOf()).map(([name, pid]) => [name, cpuMs(treeOf(pid))] as const);
  let atStart: ReadonlyMap<string, number> = new Map();
  return {
    start: () => {
      atStart = new Map(read());
    },
    stop: () => Object.fromEntries(read().map(([name, ms]) => [name, ms - (atStart.get(name) ?? 0)])),
  };
}
