import { Stack, Text, ThemeIcon, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface EmptyStateProps {
  readonly icon: ReactNode;
  readonly title: string;
  /** What would be here, and how it comes here. */
  readonly text: string;
  /** It is all that the page has: its title is the page's heading. */
  readonly isPage?: boolean;
  /** What to do about it: a button or link. */
  readonly action?: ReactNode;
}

export function EmptyState({ icon, title, text, isPage = false, action }: EmptyStateProps) {
  return (
    <Stack align="center" gap="sm" py={48} px="md" ta="center">
      <ThemeIcon size={56} radius="xl" variant="light" aria-hidden>
        {icon}
      </ThemeIcon>
      <Title
        order={isPage ? 1 : 2}
        size="h4"
        {...(isPage && { tabIndex: -1, "data-page-title": true, style: { outline: "none" } })}
      >
        {title}
      </Title>
      <Text c="dimmed" maw={440}>
        {text}
      </Text>
      {action}
    </Stack>
  );
}
