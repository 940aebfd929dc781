/** Vectors as they are stored. */

/** Scales a vector to length 1; a vector of zeros stays. */
export function normalise(vector: Float32Array): Float32Array {
  let squares = 0;
  for (const value of vector) squares += value * value;
  return squares === 0 ? vector : vector.map((value) => value / Math.sqrt(squares));
}

/** A vector's signs, as Postgres writes bits. */
export function toBits(vector: Float32Array): string {
  let bits = "";
  for (const value of vector) bits += value > 0 ? "1" : "0";
  return bits;
}

/** A vector as Postgres writes an array, with the six digits that 32 bits hold for certain. */
export function toArrayLiteral(vector: Float32Array): string {
  return `{${Array.from(vector, (value) => (value === 0 ? "0" : value.toPrecision(6))).join(",")}}`;
}
