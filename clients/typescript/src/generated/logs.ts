/* eslint-disable */
import type { EventLog } from "../documents.ts";

export const EVENT_LOGS: Readonly<Record<string, EventLog>> = {
  runEvents: { field: "runEventLog", last: ["RunFinished","RunFailed"] },
};
