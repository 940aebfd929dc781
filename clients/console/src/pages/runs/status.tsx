import { Badge } from "@mantine/core";
import type { RunStatus } from "@sba/client";
import { useMessages } from "../../i18n/messages.ts";
import { messages } from "./messages.ts";

const COLOURS: Readonly<Record<RunStatus, string>> = {
  CREATED: "gray",
  PLANNING: "brand",
  EXECUTING: "brand",
  WAITING_TOOL: "orange",
  AWAITING_APPROVAL: "yellow",
  AWAITING_INPUT: "yellow",
  PAUSED: "gray",
  CANCELLING: "gray",
  COMPLETED: "teal",
  FAILED: "red",
  CANCELLED: "gray",
};

/** A run's status in words; what a newer API adds is shown as it calls it. */
export function RunStatusBadge({ status }: { readonly status: string }) {
  const t = useMessages(messages);
  const known = status in COLOURS ? (status as RunStatus) : undefined;
  return (
    <Badge
      variant="dot"
      color={known === undefined ? "gray" : COLOURS[known]}
      tt="none"
      fw={600}
      data-status={status}
      style={{ flexShrink: 0 }}
    >
      {known === undefined ? status : t[known]}
    </Badge>
  );
}
