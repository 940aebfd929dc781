import { GraphQLError, Kind, type ValueNode } from "graphql";
import type { GraphTypes } from "./graphql.ts";

/** The scalars of the whole graph: what they take, and how they are written. */

// RFC 3339 section 5.6; a date without a zone is refused, since it is not a point in time.
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i;
const DECIMAL = /^-?\d{1,19}$/;
const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

function parseDateTime(value: unknown): Date {
  const date = typeof value === "string" && RFC3339.test(value) && isDay(value) ? new Date(value) : undefined;
  if (!date || Number.isNaN(date.getTime()))
    throw scalarError("DateTime must be an RFC 3339 time with a zone, as 2026-11-20T19:00:00Z.");
  if (!isStorableYear(date.getUTCFullYear())) throw scalarError("DateTime must be in the years 0001 to 9999 of UTC.");
  return date;
}

/** There is no year 0, and adapters write no year of five digits. */
function isStorableYear(year: number): boolean {
  return year >= 1 && year <= 9_999;
}

/** Date takes the 30th of February for the 2nd of March: a window would silently be another than was asked for. */
function isDay(time: string): boolean {
  return new Date(`${time.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(time.slice(8, 10));
}

function parseBigInt(value: unknown): bigint {
  const text = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
  const number = typeof text === "string" && DECIMAL.test(text) ? BigInt(text) : undefined;
  if (number === undefined || number < INT64.min || number > INT64.max) {
    throw scalarError("BigInt must be a whole number of 64 bits, as a decimal string.");
  }
  return number;
}

function parseCursor(value: unknown): string {
  if (typeof value !== "string" || value.length > 512)
    throw scalarError("Cursor must be a string that this API gave out.");
  return value;
}

function scalarError(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: "BAD_USER_INPUT", reason: "INPUT_INVALID" } });
}

function parseJsonLiteral(node: ValueNode, variables: Record<string, unknown> | null | undefined): unknown {
  switch (node.kind) {
    case Kind.VARIABLE:
      return variables?.[node.name.value];
    case Kind.NULL:
      return null;
    case Kind.LIST:
      return node.values.map((item) => parseJsonLiteral(item, variables));
    case Kind.OBJECT:
      return Object.fromEntries(
        node.fields.map((field) => [field.name.value, parseJsonLiteral(field.value, variables)]),
      );
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value);
    case Kind.STRING:
    case Kind.BOOLEAN:
    case Kind.ENUM:
      return node.value;
  }
}

function literalText(node: ValueNode): unknown {
  return node.kind === Kind.STRING || node.kind === Kind.INT ? node.value : undefined;
}

/** Adds the house's scalars to a subgraph's builder. */
export function addScalars(
  builder: PothosSchemaTypes.SchemaBuilder<PothosSchemaTypes.ExtendDefaultTypes<GraphTypes>>,
): void {
  builder.scalarType("DateTime", {
    description: "A point in time, RFC 3339 in UTC.",
    serialize: (value) => new Date(value).toISOString(),
    parseValue: parseDateTime,
    parseLiteral: (node) => parseDateTime(literalText(node)),
  });
  builder.scalarType("BigInt", {
    description: "A whole number of 64 bits as a decimal string.",
    serialize: (value) => String(value),
    parseValue: parseBigInt,
    parseLiteral: (node) => parseBigInt(literalText(node)),
  });
  builder.scalarType("JSON", {
    description: "Any JSON value.",
    serialize: (value) => value,
    parseValue: (value) => value,
    parseLiteral: parseJsonLiteral,
  });
  builder.scalarType("Cursor", {
    description: "An opaque position in a list or stream.",
    serialize: String,
    parseValue: parseCursor,
    parseLiteral: (node) => parseCursor(literalText(node)),
  });
}
