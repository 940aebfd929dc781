import { Button, Container } from "@mantine/core";
import { Component, type ReactNode } from "react";
import { useMessages } from "../i18n/messages.ts";
import { EmptyState } from "./empty-state.tsx";
import { IconAlertTriangle } from "./icons.ts";
import { messages } from "./messages.ts";

interface ErrorBoundaryProps {
  readonly children: ReactNode;
}

/** A page that throws takes only itself down; another key, and it is tried anew. */
export class ErrorBoundary extends Component<ErrorBoundaryProps, { readonly hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError(): { readonly hasFailed: boolean } {
    return { hasFailed: true };
  }

  override render(): ReactNode {
    return this.state.hasFailed ? <Crashed /> : this.props.children;
  }
}

/** Also what is shown after an upgrade, when a page's script is no longer there under its old name. */
function Crashed() {
  const t = useMessages(messages);
  const reload = () => {
    window.location.reload();
  };
  return (
    <Container size="sm" role="alert">
      <EmptyState
        icon={<IconAlertTriangle size={28} />}
        title={t.crashTitle}
        text={t.crashText}
        action={<Button onClick={reload}>{t.reload}</Button>}
      />
    </Container>
  );
}
