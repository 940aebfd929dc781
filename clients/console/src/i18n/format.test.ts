import { describe, expect, test } from "vitest";
import { formatOf } from "./format.ts";

const [en, id] = [formatOf("en"), formatOf("id")];
/** Intl writes spaces that do not break. */
const plain = (text: string) => text.replaceAll(/\s/g, " ");

describe("an amount of money", () => {
  const usd = (amountMicros: string) => plain(en.money({ amountMicros, currency: "USD" }));

  test("has as many digits as it is small", () => {
    expect(["0", "1", "2132", "10000", "1500000", "-2132"].map(usd)).toEqual([
      ...["US$0.00", "US$0.000001", "US$0.002132", "US$0.01", "US$1.50", "-US$0.002132"],
    ]);
  });

  test("is exact where a number would not be", () => {
    expect(usd("9007199254740993120000")).toBe("US$9,007,199,254,740,993.12");
  });

  test("is written as people of the language do", () => {
    expect(plain(id.money({ amountMicros: "1500000", currency: "IDR" }))).toBe("Rp 1,50");
  });
});

test("quantities of 64 bits keep their digits", () => {
  expect(en.quantity("9223372036854775807")).toBe("9,223,372,036,854,775,807");
  expect(id.quantity(1_234)).toBe("1.234");
});

test("times are said from now, in the largest unit that fits", () => {
  const now = new Date("2026-01-02T00:00:00Z");
  expect(en.relative("2026-01-01T23:57:00Z", now)).toBe("3 minutes ago");
  expect(en.relative("2026-01-02T02:30:00Z", now)).toBe("in 2 hours");
  expect(id.relative("2025-12-28T00:00:00Z", now)).toBe("5 hari yang lalu");
});

test("durations and sizes are short", () => {
  expect([320, 4_230, 185_000, 7_500_000].map(en.duration)).toEqual(["320 ms", "4.2 s", "3 min 5 s", "2 h 5 min"]);
  expect([999.6, 59_960, 119_700, 3_599_600].map(en.duration)).toEqual(["1 s", "1 min 0 s", "2 min 0 s", "1 h 0 min"]);
  expect(["1", "987", "1400", "2500000"].map((size) => plain(en.bytes(size)))).toEqual([
    ...["1 byte", "987 bytes", "1.4 kB", "2.5 MB"],
  ]);
});
