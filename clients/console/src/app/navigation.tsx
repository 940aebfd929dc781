import { Badge, NavLink, Stack } from "@mantine/core";
import { Link } from "wouter";
import { useLocationProperty } from "wouter/use-browser-location";
import { useLocale } from "../i18n/locale.ts";
import { useMessages } from "../i18n/messages.ts";
import { ROUTES, type Route } from "../routes.tsx";
import { useMe } from "../session/permission.tsx";
import { useInbox } from "./inbox.tsx";
import { messages } from "./messages.ts";
import classes from "./shell.module.css";

/** The pages that the one who is signed in may see. */
export function useRoutes(): readonly Route[] {
  const { permissions } = useMe();
  return ROUTES.filter(({ needs }) => needs === undefined || permissions.includes(needs));
}

/** The page of the address, its first part; whoever asks is not drawn anew where one goes on within a page. */
export function usePageOfLocation(): string {
  return useLocationProperty(() => window.location.pathname.split("/", 2)[1] ?? "");
}

export function Navigation({ onNavigate }: { readonly onNavigate?: () => void }) {
  const t = useMessages(messages);
  const { locale } = useLocale();
  const here = usePageOfLocation();
  const { mine } = useInbox();
  return (
    <nav aria-label={t.navigation} className={classes["navigation"]}>
      <Stack gap={4}>
        {useRoutes().map(({ path, title, Icon }) => {
          const isHere = path === here;
          const count = path === "inbox" ? mine.length : 0;
          return (
            <NavLink
              key={path}
              component={Link}
              href={`/${path}`}
              active={isHere}
              aria-current={isHere ? "page" : undefined}
              label={title[locale]}
              leftSection={<Icon size={20} stroke={1.6} />}
              rightSection={
                count > 0 && (
                  <Badge size="sm" circle={count < 10} color="red.8" aria-label={t.waitingForYou(count)}>
                    {count}
                  </Badge>
                )
              }
              fw={500}
              py={9}
              style={{ borderRadius: "var(--mantine-radius-md)" }}
              {...(onNavigate ? { onClick: onNavigate } : {})}
            />
          );
        })}
      </Stack>
    </nav>
  );
}
