import type { Command } from "commander";
import { UsageDocument, type Client, type UsageQuery, type UsageQueryVariables } from "@sba/client";
import { CommandError, EXIT } from "../failure.ts";
import { decimalOf, moneyText, note, sayCsv, sayJson, sayTable } from "../output.ts";
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
const PAGE = 100;

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

type Row = UsageQuery["usage"]["edges"][number]["node"];

async function report(options: UsageOptions): Promise<void> {
  if (options.csv && options.json) throw new CommandError("--csv or --json, not both.", EXIT.usage);
  const now = new Date();
  const variables: UsageQueryVariables = {
    from: timeOf("--from", options.from ?? `${now.toISOString().slice(0, 7)}-01`),
    to: timeOf("--to", options.to ?? now.toISOString()),
    granularity: oneOf("--granularity", options.granularity, GRANULARITIES),
    groupBy: options.by.split(",").map((each) => oneOf("--by", each, DIMENSIONS)),
  };
  const { rows, totals } = await readAll(await openClient(options), variables);
  if (options.json) sayJson({ rows, totals });
  else if (options.csv)
    sayCsv(
      ["periodStart", "periodEnd", "agent", "meter", "quantity", "cost", "currency"],
      rows.map(({ periodStart, periodEnd, agentKey, meter, quantity, cost }) => [
        ...[periodStart, periodEnd, agentKey ?? "", meter, quantity, decimalOf(cost.amountMicros), cost.currency],
      ]),
    );
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

async function readAll(client: Client, variables: UsageQueryVariables) {
  const rows: Row[] = [];
  for (let after: string | null = null; ;) {
    const { usage }: UsageQuery = await client.query(UsageDocument, { ...variables, first: PAGE, after });
    rows.push(...usage.edges.map(({ node }) => node));
    if (!usage.pageInfo.hasNextPage) return { rows, totals: usage.totals };
    after = usage.pageInfo.endCursor ?? null;
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
