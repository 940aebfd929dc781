import { Group, Paper, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./section.module.css";

interface SectionProps {
  readonly title: string;
  /** One sentence on what is in it. */
  readonly description?: string;
  /** Buttons beside the title. */
  readonly actions?: ReactNode;
  /** What is in it reaches its borders. */
  readonly isFlush?: boolean;
  readonly children: ReactNode;
}

/** A part of a page under a heading of its own. */
export function Section({ title, description, actions, isFlush = false, children }: SectionProps) {
  return (
    <Paper withBorder radius="lg" component="section" aria-label={title} className={classes["section"]}>
      <Group justify="space-between" align="flex-start" gap="sm" px="lg" pt="md" pb="sm">
        <div>
          <Title order={2} size="h4">
            {title}
          </Title>
          {description !== undefined && (
            <Text size="sm" c="dimmed">
              {description}
            </Text>
          )}
        </div>
        {actions}
      </Group>
      <div className={isFlush ? undefined : classes["inset"]}>{children}</div>
    </Paper>
  );
}
