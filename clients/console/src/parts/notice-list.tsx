import "@mantine/notifications/styles.css";
import { Notifications, notifications } from "@mantine/notifications";
import { messages } from "./messages.ts";
import { useMessages } from "../i18n/messages.ts";
import type { Notice } from "./notices.tsx";

let closeLabel = "";

export function show(notice: Notice): void {
  notifications.show({ ...notice, closeButtonProps: { "aria-label": closeLabel } });
}

export default function NoticeList() {
  closeLabel = useMessages(messages).close;
  return <Notifications position="bottom-right" />;
}
