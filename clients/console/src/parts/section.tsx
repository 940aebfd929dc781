import { Anchor, Paper, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { IconArrowLeft } from "./icons.ts";
import classes from "./section.module.css";

/** To where somebody came from, above a page's heading. */
export function BackLink({ href, children }: { readonly href: string; readonly children: ReactNode }) {
  return (
    <div className={classes["back"]}>
      <Anchor component={Link} href={href} size="sm" c="dimmed">
        <IconArrowLeft size={14} aria-hidden /> {children}
      </Anchor>
    </div>
  );
}

interface SectionProps {
  readonly title: string;
  /** What is in it reaches its borders. */
  readonly isFlush?: boolean;
  readonly children: ReactNode;
}

/** A part of a page under a heading of its own. */
export function Section({ title, isFlush = false, children }: SectionProps) {
  return (
    <Paper withBorder radius="lg" component="section" aria-label={title} className={classes["section"]}>
      <Title order={2} size="h4" px="lg" pt="md" pb="sm">
        {title}
      </Title>
      <div className={isFlush ? undefined : classes["inset"]}>{children}</div>
    </Paper>
  );
}
