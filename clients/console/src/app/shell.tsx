import { Alert, AppShell, Burger, Group, Loader, Center, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Redirect, Route, Switch } from "wouter";
import { useMessages } from "../i18n/messages.ts";
import { ErrorBoundary } from "../parts/error-boundary.tsx";
import { ROUTES } from "../routes.tsx";
import { useMe } from "../session/permission.tsx";
import { Account } from "./account.tsx";
import { Brand } from "./brand.tsx";
import { ConnectionBadge, OfflineBanner } from "./connection.tsx";
import { messages } from "./messages.ts";
import { Navigation, usePageOfLocation, useRoutes } from "./navigation.tsx";
import { NotAllowed, NotFound } from "./not-found.tsx";
import classes from "./shell.module.css";

// Of small screens only, and there when somebody opens it.
const MenuDrawer = lazy(() => import("./menu-drawer.tsx"));

/** What is around every page: navigation, who is signed in, how live it is. */
export function Shell() {
  const t = useMessages(messages);
  const [isOpen, { open, close }] = useDisclosure(false);
  const [wasOpened, setWasOpened] = useState(false);
  if (isOpen && !wasOpened) setWasOpened(true);
  useFocusOnNewPage();
  return (
    <>
      <a href="#main" className={classes["skip"]}>
        {t.skip}
      </a>
      <AppShell
        layout="alt"
        header={{ height: { base: 56, sm: 0 } }}
        navbar={{ width: 264, breakpoint: "sm", collapsed: { mobile: true } }}
        padding={{ base: "md", sm: "xl" }}
      >
        <AppShell.Header hiddenFrom="sm" px="md">
          <Group h="100%" justify="space-between" wrap="nowrap">
            <Group gap="sm" wrap="nowrap">
              <Burger opened={isOpen} onClick={open} aria-label={t.menu} size="sm" />
              <Brand />
            </Group>
            <ConnectionBadge />
          </Group>
        </AppShell.Header>
        <AppShell.Navbar p="md" visibleFrom="sm">
          <Side />
        </AppShell.Navbar>
        {wasOpened && (
          <Suspense fallback={null}>
            <MenuDrawer opened={isOpen} onClose={close}>
              <Side isInDrawer onNavigate={close} />
            </MenuDrawer>
          </Suspense>
        )}
        <AppShell.Main id="main" tabIndex={-1} className={classes["main"]}>
          <OfflineBanner />
          <SuspendedBanner />
          <Pages />
        </AppShell.Main>
      </AppShell>
    </>
  );
}

function Side({ isInDrawer = false, onNavigate }: { readonly isInDrawer?: boolean; readonly onNavigate?: () => void }) {
  const { tenant } = useMe();
  return (
    <>
      {!isInDrawer && (
        <Group justify="space-between" mb="lg" px={8} pt={4} wrap="nowrap">
          <Brand />
        </Group>
      )}
      <Text size="xs" c="dimmed" fw={600} tt="uppercase" px={10} mb={6} truncate>
        {tenant.name}
      </Text>
      <Navigation {...(onNavigate ? { onNavigate } : {})} />
      <Stack gap="xs" pt="sm" className={classes["foot"]}>
        {!isInDrawer && <ConnectionBadge />}
        <Account />
      </Stack>
    </>
  );
}

function SuspendedBanner() {
  const t = useMessages(messages);
  const { suspension } = useMe().tenant;
  if (!suspension) return null;
  return (
    <Alert color="yellow" variant="light" mb="md" role="status">
      {t.suspended} {suspension.reason}
    </Alert>
  );
}

function Pages() {
  const page = usePageOfLocation();
  const allowed = useRoutes();
  const [first] = allowed;
  return (
    <ErrorBoundary key={page}>
      <Suspense
        fallback={
          <Center py={80}>
            <Loader />
          </Center>
        }
      >
        <Switch>
          <Route path="/">{first ? <Redirect to={`/${first.path}`} replace /> : <NotAllowed />}</Route>
          {ROUTES.map((route) => (
            <Route key={route.path} path={`/${route.path}/*?`}>
              {allowed.includes(route) ? <route.Page /> : <NotAllowed />}
            </Route>
          ))}
          <Route>
            <NotFound />
          </Route>
        </Switch>
      </Suspense>
    </ErrorBoundary>
  );
}

/** Whoever goes to another page by keyboard or hears it read begins at its heading; a page's own paths are its own affair. */
function useFocusOnNewPage(): void {
  const page = usePageOfLocation();
  const isFirst = useRef(true);
  useEffect(() => {
    if (isFirst.current) {
      isFirst.current = page === "";
      return;
    }
    const main = document.getElementById("main");
    const heading = main?.querySelector<HTMLElement>("[data-page-title]");
    window.scrollTo(0, 0);
    (heading ?? main)?.focus();
  }, [page]);
}
