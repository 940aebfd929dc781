import { Table, VisuallyHidden } from "@mantine/core";
import type { ReactNode } from "react";

interface Column {
  readonly label: string;
  readonly isNumber?: boolean;
  /** For a column of buttons, whose heading is only heard. */
  readonly isHidden?: boolean;
}

interface DataTableProps {
  /** What it is a table of, for who hears it read. */
  readonly label: string;
  readonly columns: readonly Column[];
  /** Where it is narrower it scrolls by itself, by keyboard too. */
  readonly minWidth?: number;
  readonly foot?: ReactNode;
  /** `<Table.Tr>` each. */
  readonly children: ReactNode;
}

/** A group, not a region: the section around it, which may have the same name, is the landmark. */
export function DataTable({ label, columns, minWidth = 560, foot, children }: DataTableProps) {
  return (
    // What is only heard is placed absolutely: within what scrolls, or it would make the page as wide as the table.
    <Table.ScrollContainer
      pos="relative"
      minWidth={minWidth}
      type="native"
      tabIndex={0}
      role="group"
      aria-label={label}
    >
      <Table verticalSpacing="sm">
        <Table.Thead>
          <Table.Tr>
            {columns.map(({ label: heading, isNumber, isHidden }) => (
              <Table.Th key={heading} ta={isNumber === true ? "right" : "left"}>
                {isHidden === true ? <VisuallyHidden>{heading}</VisuallyHidden> : heading}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>{children}</Table.Tbody>
        {foot !== undefined && <Table.Tfoot>{foot}</Table.Tfoot>}
      </Table>
    </Table.ScrollContainer>
  );
}
