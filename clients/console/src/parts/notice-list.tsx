import "@mantine/notifications/styles.css";
import { Notifications, notifications } from "@mantine/notifications";
import type { Notice } from "./notices.tsx";

export function show({ closeLabel, ...notice }: Notice): void {
  notifications.show({ ...notice, closeButtonProps: { "aria-label": closeLabel } });
}

export default function NoticeList() {
  return <Notifications position="bottom-right" />;
}
