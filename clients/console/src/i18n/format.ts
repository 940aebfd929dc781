import { useMemo } from "react";
import { useLocale, type Locale } from "./locale.ts";

/** Amounts, times and sizes as people of a language write them. */

interface Money {
  /** Millionths of the currency's unit, as a decimal string. */
  readonly amountMicros: string;
  readonly currency?: string;
}

export interface Format {
  /** To the cent where that says something, with more digits for what is less. */
  readonly money: (money: Money) => string;
  readonly quantity: (quantity: string | number) => string;
  readonly percent: (share: number) => string;
  readonly date: (at: string | Date) => string;
  readonly time: (at: string | Date) => string;
  readonly dateTime: (at: string | Date) => string;
  /** "3 minutes ago", "in 2 hours". */
  readonly relative: (at: string | Date, now?: Date) => string;
  /** "320 ms", "4.2 s", "3 min 5 s". */
  readonly duration: (ms: number) => string;
  readonly bytes: (size: string | number) => string;
}

const TAGS: Readonly<Record<Locale, string>> = { en: "en-GB", id: "id-ID" };
const MICROS = 1_000_000;
const DEFAULT_CURRENCY = "USD";
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
] as const;
const SIZES = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;

export function formatOf(locale: Locale): Format {
  const tag = TAGS[locale];
  const numbersOf = numberFormatsOf(tag);
  const numbers = numbersOf({});
  const percents = numbersOf({ style: "percent", maximumFractionDigits: 0 });
  const dates = new Intl.DateTimeFormat(tag, { dateStyle: "medium" });
  const times = new Intl.DateTimeFormat(tag, { timeStyle: "medium" });
  const both = new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short" });
  const relatives = new Intl.RelativeTimeFormat(tag, { numeric: "auto" });
  const decimal = (value: number, digits: number) =>
    numbersOf({ minimumFractionDigits: 0, maximumFractionDigits: digits }).format(value);
  return {
    money: ({ amountMicros, currency = DEFAULT_CURRENCY }) => moneyOf(numbersOf, BigInt(amountMicros), currency),
    quantity: (quantity) => numbers.format(typeof quantity === "string" ? BigInt(quantity) : quantity),
    percent: (share) => percents.format(share),
    date: (at) => dates.format(new Date(at)),
    time: (at) => times.format(new Date(at)),
    dateTime: (at) => both.format(new Date(at)),
    relative: (at, now = new Date()) => {
      const differenceMs = new Date(at).getTime() - now.getTime();
      const [unit, size] = UNITS.find(([, each]) => Math.abs(differenceMs) >= each) ?? (["second", 1_000] as const);
      return relatives.format(Math.trunc(differenceMs / size), unit);
    },
    duration: (ms) => {
      if (ms < 999.5) return `${decimal(Math.round(ms), 0)} ms`;
      if (ms < 59_950) return `${decimal(ms / 1_000, 1)} s`;
      const seconds = Math.round(ms / 1_000);
      const minutes = Math.floor(seconds / 60);
      if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
      return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
    },
    bytes: (size) => {
      const value = Number(size);
      const step = Math.min(SIZES.length - 1, Math.floor(Math.log10(Math.max(value, 1)) / 3));
      return numbersOf({
        style: "unit",
        unit: SIZES[step] ?? "byte",
        // Bytes have no short name of their own: "987 byte".
        unitDisplay: step === 0 ? "long" : "short",
        maximumFractionDigits: 1,
      }).format(value / 1_000 ** step);
    },
  };
}

type NumberFormats = (options: Intl.NumberFormatOptions) => Intl.NumberFormat;

/** Making one takes fifty times as long as using it, and a list has one in every row: each is made once. */
function numberFormatsOf(tag: string): NumberFormats {
  const made = new Map<string, Intl.NumberFormat>();
  return (options) => {
    const key = JSON.stringify(options);
    const format = made.get(key) ?? new Intl.NumberFormat(tag, options);
    made.set(key, format);
    return format;
  };
}

/** As exact as the amount is small: what a run costs is often less than a cent. */
function moneyOf(numbersOf: NumberFormats, micros: bigint, currency: string): string {
  const size = micros < 0n ? -micros : micros;
  const digits = size === 0n || size >= 1_000_000n ? 2 : size >= 10_000n ? 4 : 6;
  const format = numbersOf({
    style: "currency",
    currency,
    minimumFractionDigits: 2,
    maximumFractionDigits: digits,
  });
  // As text: a large amount has more digits than a number can hold.
  const text = `${micros < 0n ? "-" : ""}${size / BigInt(MICROS)}.${String(size % BigInt(MICROS)).padStart(6, "0")}`;
  return format.format(text as `${number}`);
}

const formats = new Map<Locale, Format>();

export function useFormat(): Format {
  const { locale } = useLocale();
  return useMemo(() => {
    const format = formats.get(locale) ?? formatOf(locale);
    formats.set(locale, format);
    return format;
  }, [locale]);
}
