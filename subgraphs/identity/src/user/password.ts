import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { bulkhead, BulkheadRejectedError } from "cockatiel";
import { errors } from "../errors.ts";

/** What hashing costs: the parameters of scrypt (RFC 7914). */
export interface HashCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** OWASP's minimum for scrypt: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt */
const COST: HashCost = { N: 2 ** 15, r: 8, p: 3 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Whoever may ask to sign in: of the process's four threads, two stay free to verify tokens and to read files. */
const VERIFIED_AT_ONCE = 2;
const WAITING = 50;
/** Half of them have had their turn by then. */
const RETRY_MS = 3_000;

/** A password as it is stored: `scrypt$N$r$p$salt$hash`, so that the cost can grow without breaking what is stored. */
export async function hashPassword(password: string, cost: HashCost = COST): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, HASH_BYTES, cost);
  return ["scrypt", cost.N, cost.r, cost.p, salt.toString("base64url"), hash.toString("base64url")].join("$");
}

// For accounts without a password: hashing costs the same, so that the time tells nobody which accounts exist.
const NOBODY = `scrypt$${COST.N}$${COST.r}$${COST.p}$${Buffer.alloc(SALT_BYTES).toString("base64url")}$${Buffer.alloc(HASH_BYTES).toString("base64url")}`;

const places = bulkhead(VERIFIED_AT_ONCE + WAITING);
const turns = bulkhead(VERIFIED_AT_ONCE, WAITING);

/**
 * Does what verifies one password, when there is a place to wait for its turn to be hashed: who finds none is turned away before
 * anything is counted or read for them.
 * @throws IDENTITY_SIGN_IN_BUSY
 */
export async function withPlace<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await places.execute(work);
  } catch (error) {
    throw error instanceof BulkheadRejectedError ? errors.IDENTITY_SIGN_IN_BUSY({ retryAfterMs: RETRY_MS }) : error;
  }
}

/** True when the password is that of the stored hash; without a stored hash false, after the same work. In a place, as it may wait. */
export async function verifyPassword(password: string, stored: string | null | undefined): Promise<boolean> {
  const [, N, r, p, salt, hash] = (stored ?? NOBODY).split("$");
  const expected = Buffer.from(hash ?? "", "base64url");
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  const actual = await turns.execute(() =>
    derive(password, Buffer.from(salt ?? "", "base64url"), expected.length, cost),
  );
  return timingSafeEqual(actual, expected) && typeof stored === "string";
}

function derive(password: string, salt: Buffer, length: number, cost: HashCost): Promise<Buffer> {
  // What OpenSSL counts; Node's default stops below our cost.
  const maxmem = 128 * cost.r * (cost.N + cost.p + 2);
  return new Promise((resolve, reject) => {
    // One person's keyboard may compose "é" where another's does not: https://www.rfc-editor.org/rfc/rfc8265#section-4
    scrypt(password.normalize("NFC"), salt, length, { ...cost, maxmem }, (error, hash) => {
      if (error) reject(error);
      else resolve(hash);
    });
  });
}
