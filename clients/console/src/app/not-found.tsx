import { Button } from "@mantine/core";
import { Link } from "wouter";
import { useMessages } from "../i18n/messages.ts";
import { EmptyState } from "../parts/empty-state.tsx";
import { IconCompass } from "../parts/icons.ts";
import { useDocumentTitle } from "../parts/page.tsx";
import { useMe } from "../session/permission.tsx";
import { messages } from "./messages.ts";

export function NotFound() {
  const t = useMessages(messages);
  useDocumentTitle(t.notFoundTitle);
  return (
    <EmptyState
      isPage
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

/** Of a page that the role does not have, or that nobody has while the company is suspended. */
export function NotAllowed() {
  const t = useMessages(messages);
  const { suspension } = useMe().tenant;
  const title = suspension ? t.restsTitle : t.notAllowedTitle;
  useDocumentTitle(title);
  return (
    <EmptyState
      isPage
      icon={<IconCompass size={28} />}
      title={title}
      text={suspension ? t.restsText : t.notAllowedText}
    />
  );
}
