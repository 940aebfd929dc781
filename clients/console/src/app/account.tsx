import { Avatar, Divider, Menu, Text, UnstyledButton, VisuallyHidden } from "@mantine/core";
import { useMessages } from "../i18n/messages.ts";
import { IconDotsVertical, IconLogout } from "../parts/icons.ts";
import { useNotify } from "../parts/error-notice.tsx";
import { useMe } from "../session/permission.tsx";
import { session } from "../session/use-session.ts";
import classes from "./account.module.css";
import { messages } from "./messages.ts";
import { Preferences } from "./preferences.tsx";

/** Who is signed in and where, their preferences, and the way out. */
export function Account() {
  const t = useMessages(messages);
  const notify = useNotify();
  const { displayName, email, roles } = useMe();
  const role = roles.map(({ name }) => name).join(", ");
  return (
    <Menu position="top-start" width={260} shadow="md" withArrow>
      <Menu.Target>
        <UnstyledButton className={classes["account"]}>
          <VisuallyHidden>{t.account}</VisuallyHidden>
          <Avatar name={displayName} color="brand" radius="xl" size={36} aria-hidden />
          <div className={classes["names"]}>
            <Text size="sm" fw={600} truncate>
              {displayName}
            </Text>
            <Text size="xs" c="dimmed" truncate>
              {role}
            </Text>
          </div>
          <IconDotsVertical size={16} aria-hidden />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        {email !== null && <Menu.Label>{email}</Menu.Label>}
        <div className={classes["preferences"]}>
          <Preferences />
        </div>
        <Divider my={4} />
        <Menu.Item
          leftSection={<IconLogout size={16} />}
          onClick={() => {
            void session.signOut().catch(notify.error);
          }}
        >
          {t.signOut}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
