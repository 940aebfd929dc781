import type { Command } from "commander";
import { readUsage, usageCsv, type UsageQueryVariables } from "@sba/client";
import { CommandError, EXIT } from "../failure.ts";
import { moneyText, note, say, sayJson, sayTable } from "../output.ts";
import { openClient } from "../session.ts";
import type { GlobalOptions } from "../settings.ts";

/** What was used and what it cost, for people, spreadsheets and scripts. */

interface UsageOptions extends GlobalOptions {
  readonly from?: string;
  readonly to?: string;
  readonly by: string;
  readonly granularity: string;
  readonly csv?: boolean;
  readonly json?: boolean;
}

const GRANULARITIES = ["HOUR", "DAY", "MONTH"] as const;
const DIMENSIONS = ["AGENT", "METER"] as const;

export function addUsageCommand(program: Command): void {
  program
    .command("usage")
    .description("what was used and what it cost")
    .option("--from <time>", "the first moment, 2026-11-01 or RFC 3339; the beginning of the month by default")
    .option("--to <time>", "the first moment after; now by default")
    .option("--by <dimensions>", "agent, meter, or both, comma-separated", "meter")
    .option("--granularity <unit>", "hour, day or month", "day")
    .option("--csv", "comma-separated values")
    .option("--json", "rows and totals as one JSON object")
    .action((_options: unknown, command: Command) => report(command.optsWithGlobals()));
}

async function report(options: UsageOptions): Promise<void> {
  if (options.csv && options.json) throw new CommandError("--csv or --json, not both.", EXIT.usage);
  const now = new Date();
  const variables: UsageQueryVariables = {
    from: timeOf("--from", options.from ?? `${now.toISOString().slice(0, 7)}-01`),
    to: timeOf("--to", options.to ?? now.toISOString()),
    granularity: oneOf("--granularity", options.granularity, GRANULARITIES),
    groupBy: options.by.split(",").map((each) => oneOf("--by", each, DIMENSIONS)),
  };
  const { rows, totals } = await readUsage(await openClient(options), variables);
  if (options.json) sayJson({ rows, totals });
  else if (options.csv) say(usageCsv(rows));
  else {
    sayTable(
      ["FROM", "AGENT", "METER", "QUANTITY", "COST"],
      rows.map(({ periodStart, agentKey, meter, quantity, cost }) => [
        ...[periodStart, agentKey ?? "", meter, quantity, moneyText(cost)],
      ]),
    );
    for (const { meter, quantity, cost } of totals) note(`${meter}: ${quantity}, ${moneyText(cost)}`);
  }
}

function timeOf(option: string, text: string): string {
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const time = new Date(isDay ? `${text}T00:00:00Z` : text);
  if (Number.isNaN(time.getTime()))
    throw new CommandError(`${option} is a day such as 2026-11-01, or a time in RFC 3339, not "${text}".`, EXIT.usage);
  return time.toISOString();
}

function oneOf<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((each) => each === text.trim().toUpperCase());
  if (found === undefined)
    throw new CommandError(`${option} is ${known.join(" or ").toLowerCase()}, not "${text}".`, EXIT.usage);
  return found;
}
