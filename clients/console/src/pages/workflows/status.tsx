import { Badge } from "@mantine/core";
import { useMessages } from "../../i18n/messages.ts";
import { messages } from "./messages.ts";

/** Of workflow runs, in the order of their lives. */
export const STATUSES = ["CREATED", "RUNNING", "WAITING", "CANCELLING", "COMPLETED", "FAILED", "CANCELLED"] as const;
export type Status = (typeof STATUSES)[number];

const COLOURS: Readonly<Record<Status, string>> = {
  CREATED: "gray",
  RUNNING: "brand",
  WAITING: "yellow",
  CANCELLING: "gray",
  COMPLETED: "teal",
  FAILED: "red",
  CANCELLED: "gray",
};

/** Of a workflow run, or of one of its steps. */
export function WorkflowStatusBadge({ status }: { readonly status: Status }) {
  const t = useMessages(messages);
  return (
    <Badge variant="dot" color={COLOURS[status]} tt="none" fw={600} data-status={status} style={{ flexShrink: 0 }}>
      {t[status]}
    </Badge>
  );
}
