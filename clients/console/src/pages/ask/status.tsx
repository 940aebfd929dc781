import { Badge } from "@mantine/core";
import type { RunStatus } from "@sba/client";
import { useMessages } from "../../i18n/messages.ts";
import { messages } from "./messages.ts";

const COLOURS: Readonly<Record<RunStatus, string>> = {
  CREATED: "gray",
  PLANNING: "gray",
  EXECUTING: "blue",
  WAITING_TOOL: "blue",
  AWAITING_APPROVAL: "yellow",
  AWAITING_INPUT: "yellow",
  PAUSED: "gray",
  CANCELLING: "gray",
  CANCELLED: "gray",
  COMPLETED: "teal",
  FAILED: "red",
};

export function Status({ status }: { readonly status: RunStatus }) {
  const t = useMessages(messages);
  return (
    <Badge variant="light" color={COLOURS[status]} size="sm" tt="none" style={{ flex: "none" }}>
      {t[status]}
    </Badge>
  );
}
