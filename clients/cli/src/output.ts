import { decimalOf } from "@sba/client";

/** What people and scripts read: the answer on stdout, everything about it on stderr. */

export function say(text: string): void {
  process.stdout.write(text);
}

export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function sayJson(value: unknown): void {
  say(`${JSON.stringify(value)}\n`);
}

/** Columns as wide as what is in them; of one that is too long for a line, its beginning. */
export function sayTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const cells = [head, ...rows].map((row) => row.map((cell) => oneLine(cell, CELL)));
  const widths = head.map((_, index) => Math.max(...cells.map((row) => row[index]?.length ?? 0)));
  for (const row of cells)
    say(
      `${row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
}

const CELL = 60;

export function oneLine(text: string, most: number): string {
  const line = printable(text).replaceAll(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** Without what would command the terminal: texts come from models and from other people. */
export function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}

interface Money {
  readonly amountMicros: string;
  readonly currency: string;
}

/** `1.234567 USD`, exactly. */
export function moneyText(money: Money | null | undefined): string {
  return money ? `${decimalOf(money.amountMicros)} ${money.currency}` : "";
}
