import { Center, Container, Loader, MantineProvider } from "@mantine/core";
import { useDocumentVisibility } from "@mantine/hooks";
import { setNonce } from "get-nonce";
import { lazy, Suspense, useEffect } from "react";
import { DataProvider } from "../data/provider.tsx";
import { useShellMeQuery } from "../generated/shell/hooks.ts";
import { LocaleProvider } from "../i18n/provider.tsx";
import { ErrorBoundary } from "../parts/error-boundary.tsx";
import { ErrorNotice } from "../parts/error-notice.tsx";
import { Notices } from "../parts/notices.tsx";
import { MeContext } from "../session/permission.tsx";
import { useSession } from "../session/use-session.ts";
import { InboxProvider } from "./inbox.tsx";
import { Shell } from "./shell.tsx";
import { cssVariables, theme } from "./theme.ts";

// The content security policy takes style elements with it only: Mantine's own, and what keeps the page behind a dialog still.
const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";
setNonce(nonce);

const SignIn = lazy(() => import("./sign-in.tsx"));

export function App() {
  return (
    <LocaleProvider>
      <MantineProvider
        theme={theme}
        cssVariablesResolver={cssVariables}
        defaultColorScheme="auto"
        getStyleNonce={() => nonce}
      >
        <ErrorBoundary>
          <Notices />
          <SignedIn />
        </ErrorBoundary>
      </MantineProvider>
    </LocaleProvider>
  );
}

function SignedIn() {
  const { principal } = useSession();
  if (principal === undefined)
    return (
      <Suspense fallback={null}>
        <SignIn />
      </Suspense>
    );
  return (
    <DataProvider key={principal}>
      <AsMe />
    </DataProvider>
  );
}

/** Rights may change at any time: they are asked for anew when somebody comes back to the tab, and now and then. */
const ASK_AGAIN_MS = 120_000;

function AsMe() {
  const { data, error, refetch } = useShellMeQuery({ pollInterval: ASK_AGAIN_MS, skipPollAttempt: isHidden });
  // Every role has this one, and nobody while the company is suspended.
  const isAtRest = data?.me.permissions.includes("usage:read") === false;
  useAskAtRest(isAtRest, data?.me.tenant.suspension !== null, refetch);
  const visibility = useDocumentVisibility();
  useEffect(() => {
    if (visibility === "visible") void refetch().catch(() => undefined);
  }, [visibility, refetch]);
  if (!data && error)
    return (
      <Container size="xs" py={80}>
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      </Container>
    );
  if (!data)
    return (
      <Center h="100dvh">
        <Loader />
      </Center>
    );
  return (
    <MeContext value={data.me}>
      <InboxProvider>
        <Shell />
      </InboxProvider>
    </MeContext>
  );
}

function isHidden(): boolean {
  return document.hidden;
}

const AT_REST_MS = 2_000;
const AT_REST_LONG_MS = 60_000;

/**
 * Nobody may listen to a company at rest, so that its work goes on is asked for: soon after it was suspended or resumed, since rights follow
 * within seconds, then less and less often, and not by a tab that nobody looks at.
 */
function useAskAtRest(isAtRest: boolean, isSuspended: boolean, refetch: () => Promise<unknown>): void {
  useEffect(() => {
    if (!isAtRest) return undefined;
    let delayMs = AT_REST_MS;
    const ask = (): void => {
      if (!isHidden()) void refetch().catch(() => undefined);
      delayMs = Math.min(delayMs * 2, AT_REST_LONG_MS);
      timer = setTimeout(ask, delayMs);
    };
    let timer = setTimeout(ask, delayMs);
    return () => {
      clearTimeout(timer);
    };
  }, [isAtRest, isSuspended, refetch]);
}
