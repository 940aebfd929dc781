import { Alert, Badge, Group } from "@mantine/core";
import { useNetwork } from "@mantine/hooks";
import type { ConnectionState } from "@sba/client";
import { useConnection, useOutbox } from "@sba/client/react";
import { useMessages } from "../i18n/messages.ts";
import { IconCloudOff } from "../parts/icons.ts";
import { messages } from "../parts/messages.ts";
import { useLate } from "../parts/use-late.ts";
import { useNow } from "../parts/use-now.ts";

/** What is answered sooner was only on its way. */
const WORTH_SAYING_MS = 1_000;

/** How live what is shown is, and what waits to be sent. */
export function ConnectionBadge() {
  const t = useMessages(messages);
  const { online } = useNetwork();
  const { status: found, retryAt, error } = useConnection();
  // The browser knows before a socket that nobody has answered yet.
  const status = online ? found : "offline";
  const seconds = useSecondsUntil(retryAt);
  const outbox = useOutbox();
  const isWaiting = useLate(outbox.length > 0, WORTH_SAYING_MS);
  const label = {
    idle: undefined,
    connected: t.connected,
    connecting: t.connecting,
    reconnecting: seconds > 0 ? t.reconnectingIn(seconds) : t.reconnecting,
    offline: t.offline,
  }[status];
  return (
    <Group gap={6} role="status" data-connection={status}>
      {label !== undefined && (
        <Badge variant="dot" color={COLOURS[status]} size="sm" tt="none" fw={500} title={error?.message}>
          {label}
        </Badge>
      )}
      {isWaiting && (
        <Badge variant="light" color="yellow" size="sm" tt="none" fw={500}>
          {t.waiting(outbox.length)}
        </Badge>
      )}
    </Group>
  );
}

const COLOURS: Readonly<Record<ConnectionState["status"], string>> = {
  idle: "gray",
  connected: "teal",
  connecting: "gray",
  reconnecting: "yellow",
  offline: "red",
};

function useSecondsUntil(at: Date | undefined): number {
  const now = useNow(at !== undefined);
  return at === undefined ? 0 : Math.max(0, Math.ceil((at.getTime() - now.getTime()) / 1_000));
}

export function OfflineBanner() {
  const t = useMessages(messages);
  const { online } = useNetwork();
  if (online) return null;
  return (
    <Alert color="yellow" variant="light" mb="md" icon={<IconCloudOff size={18} />} role="status">
      {t.offlineBanner}
    </Alert>
  );
}
