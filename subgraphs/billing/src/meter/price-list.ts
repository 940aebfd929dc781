import type { MoneyShape } from "@sba/platform/graphql";
import type { Meter } from "./meter.ts";

export type Money = MoneyShape;

/** ISO 4217. Every price list is in it, so that amounts can be added. */
export const CURRENCY = "USD";

type PerUnitMeter = Exclude<Meter, "model.inputTokens" | "model.outputTokens">;

/** Prices in micro-dollars for a million units: a token may cost less than one micro-dollar. */
interface TokenPrice {
  readonly inputTokens: bigint;
  readonly outputTokens: bigint;
}

interface PriceList {
  readonly version: number;
  readonly microsPerMillion: Readonly<Record<PerUnitMeter, bigint>>;
  readonly models: Readonly<Record<string, TokenPrice>>;
  /** For models that are not listed: dear enough that no model is sold below its price. */
  readonly otherModels: TokenPrice;
}

/**
 * Price lists, oldest first; the last one is in force. A changed price is a new version at the end, never an edit: each
 * usage record names the version by which it was priced.
 */
const PRICE_LISTS: readonly [PriceList, ...PriceList[]] = [
  {
    version: 1,
    microsPerMillion: {
      "run.started": 1_000_000_000n, // 0.001 USD a run
      "tool.called": 500_000_000n, // 0.0005 USD a call
      "knowledge.chunksIndexed": 20_000_000n, // 0.00002 USD a chunk
      "model.cachedAnswers": 0n, // counted, so that a turn without tokens can be told from one that is missing
      "overage.inputTokens": 0n,
      "overage.outputTokens": 0n,
    },
    models: {
      local: { inputTokens: 20_000n, outputTokens: 80_000n },
      "gpt-4.1": { inputTokens: 2_000_000n, outputTokens: 8_000_000n },
      "gpt-4.1-mini": { inputTokens: 400_000n, outputTokens: 1_600_000n },
      "gpt-4.1-nano": { inputTokens: 100_000n, outputTokens: 400_000n },
    },
    otherModels: { inputTokens: 5_000_000n, outputTokens: 20_000_000n },
  },
];

const CURRENT = PRICE_LISTS.at(-1) ?? PRICE_LISTS[0];

/** The version by which new usage is priced. */
export const PRICE_LIST_VERSION = CURRENT.version;

/** A metered quantity, before it has a price. */
export interface MeteredLine {
  readonly meter: Meter;
  /** Whole units of the meter, 0 or more: tokens, calls, chunks, runs. */
  readonly quantity: bigint;
  /** For the token meters: which model's price applies. */
  readonly model?: string;
}

const MILLION = 1_000_000n;

/** What one line costs by a price list: rounded up to a whole micro-dollar, once, here. */
export function priceLine(line: MeteredLine, version: number = PRICE_LIST_VERSION): Money {
  const micros = line.quantity * microsPerMillion(priceList(version), line);
  return { amountMicros: (micros + MILLION - 1n) / MILLION, currency: CURRENCY };
}

/** How many units of a line's meter cost no more than `micros`, its own quantity at the most; 0 when not even one does. */
export function affordableQuantity(line: MeteredLine, micros: bigint, version: number = PRICE_LIST_VERSION): bigint {
  if (micros < 0n) return 0n;
  const price = microsPerMillion(priceList(version), line);
  const affordable = price === 0n ? line.quantity : (micros * MILLION) / price;
  return affordable < line.quantity ? affordable : line.quantity;
}

/** The list of that version; lists are never taken away, so an unknown one is a mistake of ours. */
function priceList(version: number): PriceList {
  const list = PRICE_LISTS.find((each) => each.version === version);
  if (!list) throw new Error(`there is no price list ${version}`);
  return list;
}

function microsPerMillion(list: PriceList, { meter, model }: MeteredLine): bigint {
  if (meter === "model.inputTokens") return tokenPrice(list, model).inputTokens;
  if (meter === "model.outputTokens") return tokenPrice(list, model).outputTokens;
  return list.microsPerMillion[meter];
}

function tokenPrice({ models, otherModels }: PriceList, model: string | undefined): TokenPrice {
  if (model === undefined || !Object.hasOwn(models, model)) return otherModels;
  return models[model] ?? otherModels;
}

/** The sum of amounts, zero for none. */
export function addUpMoney(amounts: readonly Money[]): Money {
  return { amountMicros: amounts.reduce((sum, { amountMicros }) => sum + amountMicros, 0n), currency: CURRENCY };
}

/** What these lines would cost by a price list, the one in force by default; recording them by it costs exactly this. */
export function estimateCost(lines: readonly MeteredLine[], version?: number): Money {
  return addUpMoney(lines.map((line) => priceLine(line, version)));
}
