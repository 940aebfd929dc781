import { Divider, Menu } from "@mantine/core";
import { useMessages } from "../i18n/messages.ts";
import { useNotify } from "../parts/error-notice.tsx";
import { IconLogout } from "../parts/icons.ts";
import { useMe } from "../session/permission.tsx";
import { session } from "../session/use-session.ts";
import { AccountButton } from "./account-button.tsx";
import classes from "./account.module.css";
import { messages } from "./messages.ts";
import { Preferences } from "./preferences.tsx";

export default function AccountMenu() {
  const t = useMessages(messages);
  const notify = useNotify();
  const { email } = useMe();
  return (
    <Menu position="top-start" width={260} shadow="md" withArrow defaultOpened>
      <Menu.Target>
        <AccountButton />
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
            session.signOut().catch(notify.error);
          }}
        >
          {t.signOut}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
