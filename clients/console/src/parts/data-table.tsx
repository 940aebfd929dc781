import { rem, Table, VisuallyHidden } from "@mantine/core";
import type { CSSProperties, ReactNode } from "react";
import classes from "./data-table.module.css";

interface Column {
  readonly label: string;
  /** In its heading, when that is more than its label. */
  readonly content?: ReactNode;
  readonly width?: number;
  readonly isNumber?: boolean;
  /** For the last one, of buttons, whose heading is only heard: on a phone they end the row, or are in its corner when they are one icon. */
  readonly actions?: "below" | "corner";
}

interface DataTableProps {
  /** What it is a table of, for who hears it read. */
  readonly label: string;
  /** At most eight. */
  readonly columns: readonly Column[];
  /** Where it is narrower it scrolls by itself, by keyboard too; on a phone each row is a block of its own. */
  readonly minWidth?: number;
  /** Whether what is in the first column says which row it is: on a phone it stands above the others, without its heading. */
  readonly isTitled?: boolean;
  readonly foot?: ReactNode;
  readonly className?: string | undefined;
  /** `<Table.Tr>` each, with a cell for every column. */
  readonly children: ReactNode;
}

/** A group, not a region: the section around it, which may have the same name, is the landmark. */
export function DataTable({
  label,
  columns,
  minWidth = 560,
  isTitled = true,
  foot,
  className,
  children,
}: DataTableProps) {
  // Roles are said, since a table that is laid out as blocks is no table any more to some browsers: see also the theme.
  return (
    <div className={classes["frame"]} tabIndex={0} role="group" aria-label={label}>
      <Table
        verticalSpacing="sm"
        role="table"
        data-titled={isTitled}
        data-actions={columns.at(-1)?.actions}
        className={`${classes["table"]} ${className ?? ""}`}
        style={variablesOf(columns, minWidth)}
      >
        <Table.Thead>
          <Table.Tr>
            {columns.map(({ label: heading, content = heading, width, isNumber, actions }) => (
              <Table.Th key={heading} role="columnheader" ta={isNumber === true ? "right" : "left"} w={width}>
                {actions !== undefined ? <VisuallyHidden>{heading}</VisuallyHidden> : content}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>{children}</Table.Tbody>
        {foot !== undefined && <Table.Tfoot>{foot}</Table.Tfoot>}
      </Table>
    </div>
  );
}

/** The headings as the style sheet puts them before what is in their columns. */
function variablesOf(columns: readonly Column[], minWidth: number): CSSProperties {
  const headings = columns.map(({ label, actions }, index) => [
    `--heading-${index + 1}`,
    JSON.stringify(actions === undefined ? label : ""),
  ]);
  return { "--data-table-width": rem(minWidth), ...Object.fromEntries(headings) } as CSSProperties;
}
