import { Avatar, Text, UnstyledButton, VisuallyHidden } from "@mantine/core";
import type { ComponentPropsWithRef } from "react";
import { useMessages } from "../i18n/messages.ts";
import { IconDotsVertical } from "../parts/icons.ts";
import { useMe } from "../session/permission.tsx";
import classes from "./account.module.css";
import { messages } from "./messages.ts";

export function AccountButton(props: ComponentPropsWithRef<"button">) {
  const t = useMessages(messages);
  const { displayName, roles } = useMe();
  return (
    <UnstyledButton {...props} className={classes["account"]}>
      <VisuallyHidden>{t.account}</VisuallyHidden>
      <Avatar name={displayName} color="brand" radius="xl" size={36} aria-hidden />
      <span className={classes["names"]}>
        <Text size="sm" fw={600} truncate>
          {displayName}
        </Text>
        <Text size="xs" c="dimmed" truncate>
          {roles.map(({ name }) => name).join(", ")}
        </Text>
      </span>
      <IconDotsVertical size={16} aria-hidden />
    </UnstyledButton>
  );
}
