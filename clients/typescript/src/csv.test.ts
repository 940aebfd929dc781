import { expect, it } from "vitest";
import { decimalOf, microsOf, toCsv } from "./csv.ts";

it("quotes what has to be, doubles quotes, and lets no cell be a formula", () => {
  const rows = [
    ['a,"b"', "line\nbreak", "-12.5"],
    ["=1+1", "@SUM(A1)", "-1+1"],
    ["+SUM(A1)", "\t=1", "plain"],
  ];
  expect(toCsv(["x", "y", "z"], rows)).toBe(
    'x,y,z\r\n"a,""b""","line\nbreak",-12.5\r\n\'=1+1,\'@SUM(A1),\'-1+1\r\n\'+SUM(A1),\'\t=1,plain\r\n',
  );
});

it("turns micros into decimals and back without losing any", () => {
  for (const micros of ["0", "1", "1234567", "9007199254740993000001".slice(0, 18)])
    expect(microsOf(decimalOf(micros))).toBe(micros);
  expect(decimalOf("-1500000")).toBe("-1.500000");
  expect(microsOf("12,5")).toBe("12500000");
  for (const wrong of ["", "1.2345678", "-1", "1e3", "1 000"]) expect(microsOf(wrong)).toBeUndefined();
});
