import { Paper, Text } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./facts.module.css";

/** What something is, in one glance: a `Fact` each. */
export function FactList({ label, children }: { readonly label: string; readonly children: ReactNode }) {
  return (
    <Paper withBorder radius="lg" p="lg" component="section" aria-label={label}>
      <dl className={classes["facts"]}>{children}</dl>
    </Paper>
  );
}

/** A term and what it is here; left out where that is not known. */
export function Fact({ label, children }: { readonly label: ReactNode; readonly children: ReactNode }) {
  if (children === undefined || children === null) return null;
  return (
    <div className={classes["fact"]}>
      <Text component="dt" size="sm" c="dimmed">
        {label}
      </Text>
      <Text component="dd" m={0} fw={500} className={classes["value"]}>
        {children}
      </Text>
    </div>
  );
}
