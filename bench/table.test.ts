import { expect, test } from "vitest";
import { below, fact } from "./measurement.ts";
import { formatTable } from "./table.ts";

test("aligns the columns and says what passed and what did not", () => {
  const table = formatTable([
    {
      name: "runs",
      measurements: [below(50, fact("accepted", 9.5, "ms")), below(200, fact("first event", 1234, "ms", "3 x job"))],
    },
    { name: "search", measurements: [fact("p95", 12.345, "ms")] },
  ]);
  expect(table.split("\n")).toEqual([
    "section  measure      value  unit  target        compared with",
    "-------  -----------  -----  ----  ------  ----  -------------",
    "runs     accepted       9.5  ms    < 50    pass",
    "         first event   1234  ms    < 200   MISS  3 x job",
    "search   p95           12.3  ms",
  ]);
});
