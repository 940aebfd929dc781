import { Anchor, Box, Group, Stack, Text, Title } from "@mantine/core";
import { useEffect, type ReactNode } from "react";
import { Link } from "wouter";
import { useInbox } from "../app/inbox.tsx";
import type { Way } from "./error-notice.tsx";
import { IconArrowLeft } from "./icons.ts";
import classes from "./page.module.css";

interface PageProps {
  readonly title: string;
  /** One sentence on what the page is for. */
  readonly description?: string;
  /** To where somebody came from, above the heading. */
  readonly back?: Way | null | undefined;
  /** Buttons beside the title. */
  readonly actions?: ReactNode;
  /** How wide it may become: text is read best in narrow columns, tables want room. */
  readonly width?: "narrow" | "wide";
  readonly children: ReactNode;
}

const WIDTHS = { narrow: 820, wide: 1280 } as const;

/** What every page is: a heading, which gets the focus when somebody comes here, the window's title, and its content. */
export function Page({ title, description, back, actions, width = "wide", children }: PageProps) {
  useDocumentTitle(title);
  return (
    <Box maw={WIDTHS[width]} mx="auto" w="100%">
      {back && (
        <Anchor component={Link} href={back.href} size="sm" c="dimmed" className={classes["back"]}>
          <IconArrowLeft size={14} aria-hidden /> {back.label}
        </Anchor>
      )}
      <Stack gap="lg">
        <Group justify="space-between" align="flex-start" gap="sm">
          <div>
            <Title order={1} size="h2" tabIndex={-1} data-page-title style={{ outline: "none" }}>
              {title}
            </Title>
            {description !== undefined && (
              <Text c="dimmed" mt={4}>
                {description}
              </Text>
            )}
          </div>
          {actions}
        </Group>
        {children}
      </Stack>
    </Box>
  );
}

/** The window's title, with how many approvals wait for the one who is signed in. */
export function useDocumentTitle(title: string): void {
  const { mine } = useInbox();
  const count = mine.length;
  useEffect(() => {
    document.title = `${count > 0 ? `(${count}) ` : ""}${title} · SBA Agentic`;
  }, [title, count]);
}
