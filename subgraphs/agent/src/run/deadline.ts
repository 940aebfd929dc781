import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import type { RunOptions } from "./run.ts";

/** When a run has to be done, if it was given so long: it begins no step after that. */
export function deadlineOf({ createdAt, options }: Pick<RunRow, "createdAt" | "options">): Date | undefined {
  const { timeoutSeconds } = options as RunOptions;
  return timeoutSeconds === undefined ? undefined : new Date(createdAt.getTime() + timeoutSeconds * 1000);
}

/** Ms until then, undefined without a deadline. */
export function remainingMs(run: Pick<RunRow, "createdAt" | "options">, now: Date): number | undefined {
  const deadline = deadlineOf(run);
  return deadline && Math.max(0, deadline.getTime() - now.getTime());
}
