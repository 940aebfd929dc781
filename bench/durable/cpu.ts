import { cpuMs, treeOf } from "../processes.ts";

/** What processes have computed while a meter ran; unlike time, it does not depend on who else computes. */
export interface CpuMeter<Name extends string> {
  start(): void;
  stop(): void;
  /** Milliseconds since the first start, of each part. */
  used(): Readonly<Record<Name, number>>;
}

/** A part is a process and everything below it. */
export function openCpuMeter<Name extends string>(pidsOf: () => Readonly<Record<Name, number>>): CpuMeter<Name> {
  const total = new Map<string, number>();
  const count = (sign: 1 | -1): void => {
    for (const [name, pid] of Object.entries<number>(pidsOf()))
      total.set(name, (total.get(name) ?? 0) + sign * cpuMs(treeOf(pid)));
  };
  return {
    start: () => {
      count(-1);
    },
    stop: () => {
      count(1);
    },
    used: () => Object.fromEntries(total) as Record<Name, number>,
  };
}
