/**
 * A table as CSV (RFC 4180: CRLF, quotes doubled), of which a spreadsheet runs no cell as a formula: what would begin one, and is no
 * number, gets an apostrophe before it.
 */
export function toCsv(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, ...rows].map((row) => `${row.map(cellOf).join(",")}\r\n`).join("");
}

function cellOf(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const MICRO_DIGITS = 6;

/** Micros as a decimal of the currency's unit, exactly: "1234567" is "1.234567". */
export function decimalOf(micros: string): string {
  const digits = micros.replace("-", "").padStart(MICRO_DIGITS + 1, "0");
  const sign = micros.startsWith("-") ? "-" : "";
  return `${sign}${digits.slice(0, -MICRO_DIGITS)}.${digits.slice(-MICRO_DIGITS)}`;
}

/** What `decimalOf` was made of; undefined for what is no amount of at most six decimals. */
export function microsOf(decimal: string): string | undefined {
  const [, whole, fraction = ""] = /^(\d{1,12})(?:[.,](\d{1,6}))?$/.exec(decimal.trim()) ?? [];
  return whole === undefined ? undefined : String(BigInt(whole + fraction.padEnd(MICRO_DIGITS, "0")));
}
