import { showNumber, type Measurement } from "./measurement.ts";

/** One section's lines, under its name. */
export interface Section {
  readonly name: string;
  readonly measurements: readonly Measurement[];
}

const HEADER = ["section", "measure", "value", "unit", "target", "", "compared with"];
/** Which columns are of numbers. */
const RIGHT = new Set([2]);

/** The table as text, columns aligned, without a newline at its end. */
export function formatTable(sections: readonly Section[]): string {
  const rows = sections.flatMap(({ name, measurements }) =>
    measurements.map((measurement, index) => [index === 0 ? name : "", ...cellsOf(measurement)]),
  );
  const widths = HEADER.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const rule = widths.map((width) => "-".repeat(width));
  return [HEADER, rule, ...rows].map((row) => alignRow(row, widths)).join("\n");
}

function cellsOf({ measure, value, unit, target = "", holds, comparison = "" }: Measurement): string[] {
  const verdict = holds === undefined ? "" : holds ? "pass" : "MISS";
  return [measure, showNumber(value), unit, target, verdict, comparison];
}

function alignRow(row: readonly string[], widths: readonly number[]): string {
  const cells = widths.map((width, column) => {
    const cell = row[column] ?? "";
    return RIGHT.has(column) ? cell.padStart(width) : cell.padEnd(width);
  });
  return cells.join("  ").trimEnd();
}
