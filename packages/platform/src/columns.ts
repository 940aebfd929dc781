/**
 * Columns of many rows as parameters, in the binary format of Postgres's arrays: the server copies them where it would have to parse a
 * row's JSON, which is half of what writing a small row takes it (docs/adr/0023). What type a column has is said by the statement as well:
 * `SELECT (${uuids(steps, ({ runId }) => runId)}::uuid[])[i], ... FROM generate_series(1, ${steps.length}::int) AS i`. Not by `unnest`: of
 * several arrays it sets up a store for each, which takes the server more than to write a few rows does.
 * The format is `array_send`'s (https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/utils/adt/arrayfuncs.c), that of
 * elements their types' own.
 */

// https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/pg_type.dat
const OIDS = { bool: 16, int8: 20, int4: 23, text: 25, float8: 701, timestamptz: 1184, uuid: 2950 };

/** Dimensions, whether there are nulls (nobody reads it), the elements' type; of the one dimension its length and first index. */
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;
const NULL_LENGTH = -1;

function writeHeader(array: Buffer, oid: number, length: number): void {
  array.writeInt32BE(1, 0);
  array.writeInt32BE(0, 4);
  array.writeInt32BE(oid, 8);
  array.writeInt32BE(length, 12);
  array.writeInt32BE(1, 16);
}

/** A `text[]`. */
export function texts<Row>(rows: readonly Row[], valueOf: (row: Row) => string | null): Buffer {
  const values = rows.map(valueOf);
  const bytes = values.reduce((sum, value) => sum + (value === null ? 0 : Buffer.byteLength(value)), 0);
  const array = Buffer.allocUnsafe(HEADER_BYTES + LENGTH_BYTES * values.length + bytes);
  writeHeader(array, OIDS.text, values.length);
  let at = HEADER_BYTES;
  for (const value of values) {
    const length = value === null ? NULL_LENGTH : array.write(value, at + LENGTH_BYTES);
    array.writeInt32BE(length, at);
    at += LENGTH_BYTES + Math.max(0, length);
  }
  return array;
}

/** Writes a value at a place of an array. */
type Write<Value> = (array: Buffer, value: Value, at: number) => void;

/** An array of values that are all of one length. */
function arraysOf<Value>(oid: number, bytes: number, write: Write<Value>) {
  return <Row>(rows: readonly Row[], valueOf: (row: Row) => Value | null): Buffer => {
    const array = Buffer.allocUnsafe(HEADER_BYTES + (LENGTH_BYTES + bytes) * rows.length);
    writeHeader(array, oid, rows.length);
    let at = HEADER_BYTES;
    for (const row of rows) {
      const value = valueOf(row);
      array.writeInt32BE(value === null ? NULL_LENGTH : bytes, at);
      at += LENGTH_BYTES;
      if (value === null) continue;
      write(array, value, at);
      at += bytes;
    }
    return array.subarray(0, at);
  };
}

/** A `boolean[]`. */
export const booleans = arraysOf<boolean>(OIDS.bool, 1, (array, value, at) => array.writeUInt8(Number(value), at));

/** An `int[]`. @throws RangeError for what is no 32-bit integer */
export const ints = arraysOf<number>(OIDS.int4, 4, (array, value, at) => array.writeInt32BE(value, at));

/** A `bigint[]`. @throws RangeError for what has more than 64 bits */
export const bigints = arraysOf<bigint>(OIDS.int8, 8, (array, value, at) => array.writeBigInt64BE(value, at));

/** A `float8[]`. */
export const floats = arraysOf<number>(OIDS.float8, 8, (array, value, at) => array.writeDoubleBE(value, at));

/** Postgres counts from the year 2000. */
const EPOCH_MS = Date.UTC(2000, 0, 1);

/** A `timestamptz[]`. */
export const times = arraysOf<Date>(OIDS.timestamptz, 8, (array, value, at) =>
  array.writeBigInt64BE(BigInt(value.getTime() - EPOCH_MS) * 1_000n, at),
);

/** Where the digits of a UUID's bytes stand in its text. */
const DIGITS = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const NO_DIGIT = 16;
const VALUES = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? NO_DIGIT : value;
});

/** A `uuid[]`. @throws TypeError for what is no UUID as text */
export const uuids = arraysOf<string>(OIDS.uuid, 16, (array, value, at) => {
  let last = at;
  for (const digit of DIGITS) {
    const high = VALUES[value.charCodeAt(digit)] ?? NO_DIGIT;
    const low = VALUES[value.charCodeAt(digit + 1)] ?? NO_DIGIT;
    if (high === NO_DIGIT || low === NO_DIGIT) throw new TypeError("a column of UUIDs has something else in it");
    array[last++] = high * 16 + low;
  }
});
