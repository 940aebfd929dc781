import { Button } from "@mantine/core";
import { Link } from "wouter";
import { useMessages } from "../i18n/messages.ts";
import { EmptyState } from "../parts/empty-state.tsx";
import { IconCompass } from "../parts/icons.ts";
import { useDocumentTitle } from "../parts/page.tsx";
import { messages } from "./messages.ts";

export function NotFound() {
  const t = useMessages(messages);
  useDocumentTitle(t.notFoundTitle);
  return (
    <EmptyState
      icon={<IconCompass size={28} />}
      title={t.notFoundTitle}
      text={t.notFoundText}
      action={
        <Button component={Link} href="/" variant="default">
          {t.home}
        </Button>
      }
    />
  );
}

export function NotAllowed() {
  const t = useMessages(messages);
  useDocumentTitle(t.notAllowedTitle);
  return <EmptyState icon={<IconCompass size={28} />} title={t.notAllowedTitle} text={t.notAllowedText} />;
}
