const ENDED: ReadonlySet<string> = new Set(["COMPLETED", "FAILED", "CANCELLED"]);

/** Whether a run, or a workflow run, of this status does nothing more. */
export function isEnded(status: string): boolean {
  return ENDED.has(status);
}
