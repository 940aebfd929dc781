import { Code } from "@mantine/core";
import classes from "./json-block.module.css";

/** A value of any shape; long ones scroll, by keyboard too. */
export function JsonBlock({ label, value }: { readonly label: string; readonly value: unknown }) {
  return (
    <Code block className={classes["json"]} tabIndex={0} role="group" aria-label={label}>
      {JSON.stringify(value, null, 2)}
    </Code>
  );
}
