import { Drawer, Stack, type DrawerProps } from "@mantine/core";
import { useMessages } from "../i18n/messages.ts";
import { Brand } from "./brand.tsx";
import { messages } from "./messages.ts";

/** The navigation on a small screen. */
export default function MenuDrawer({ children, ...props }: DrawerProps) {
  const t = useMessages(messages);
  return (
    <Drawer
      {...props}
      size={300}
      title={<Brand />}
      hiddenFrom="sm"
      padding="md"
      closeButtonProps={{ "aria-label": t.closeMenu }}
    >
      <Stack h="calc(100dvh - 92px)" gap="md">
        {children}
      </Stack>
    </Drawer>
  );
}
