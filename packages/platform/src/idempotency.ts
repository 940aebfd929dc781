import { createHash } from "node:crypto";
import type { Caller } from "./caller.ts";
import { json, systemTx, type Tx } from "./db.ts";
import { platformErrors } from "./errors.ts";

export interface IdempotentOperation {
  /** The mutation's name: keys are scoped by (tenant, principal, operation). */
  readonly operation: string;
  /** 1 to 255 characters of the client's choice; undefined runs the operation without memory. */
  readonly key: string | null | undefined;
  /** What must be the same for a repeat to be the same request. */
  readonly input: unknown;
}

interface StoredKey {
  readonly inputHash: string;
  readonly resultId: string;
}

/**
 * Runs `create` once per key, in the caller's transaction, and returns the UUID that it made; a repeat with the same
 * input returns the same UUID without running it. Two at once: the second waits for the first to commit.
 * @throws IDEMPOTENCY_KEY_REUSED when the key was used with another input.
 */
export async function once(
  tx: Tx,
  caller: Caller,
  operation: IdempotentOperation,
  newId: string,
  create: (id: string) => Promise<void>,
): Promise<string> {
  const earlier = await claimKey(tx, caller, operation, newId);
  if (earlier !== undefined) return earlier;
  await create(newId);
  return newId;
}

/**
 * Claims the key for `newId`, which the caller then makes in the same transaction; or returns the UUID that the same request
 * made before. Its statement is issued at once.
 * @throws IDEMPOTENCY_KEY_REUSED when the key was used with another input.
 */
export async function claimKey(
  tx: Tx,
  caller: Caller,
  { operation, key, input }: IdempotentOperation,
  newId: string,
): Promise<string | undefined> {
  if (key === undefined || key === null) return undefined;
  const [claimed] = await tx.sql<StoredKey>`
    INSERT INTO platform.idempotency_key (tenant_id, principal_id, operation, key, input_hash, result_id)
    VALUES (${caller.tenantId}, ${caller.principalId}, ${operation}, ${key}, ${hashInput(input)}, ${newId})
    ON CONFLICT DO NOTHING RETURNING input_hash, result_id`;
  return claimed ? undefined : findEarlier(tx, caller, { operation, key, input });
}

interface NewKey {
  readonly tenantId: string;
  readonly principalId: string;
  readonly operation: string;
  readonly key: string;
  readonly inputHash: string;
  readonly resultId: string;
}

/**
 * As `claimKey`, without an answer: fails the transaction when the key was claimed before, by the name `newId`
 * (`platform.require_none`). Nothing without a key.
 */
export function claimNewKey(
  tx: Tx,
  { tenantId, principalId }: Caller,
  { operation, key, input }: IdempotentOperation,
  newId: string,
): void {
  if (key === undefined || key === null) return;
  tx.gather(insertKeys, [{ tenantId, principalId, operation, key, inputHash: hashInput(input), resultId: newId }]);
}

function insertKeys(tx: Tx, keys: readonly NewKey[]): Promise<unknown> {
  return tx.sql`
    WITH asked AS (
      SELECT * FROM json_to_recordset(${json(keys)})
        AS asked ("tenantId" uuid, "principalId" uuid, operation text, key text, "inputHash" text, "resultId" uuid)
    ), claimed AS (
      INSERT INTO platform.idempotency_key (tenant_id, principal_id, operation, key, input_hash, result_id)
      SELECT * FROM asked ON CONFLICT DO NOTHING RETURNING result_id)
    SELECT platform.require_none(
      ARRAY(SELECT "resultId"::text FROM asked WHERE "resultId" NOT IN (SELECT result_id FROM claimed)), 'IDEMPOTENCY_KEY_CLAIMED')`;
}

/**
 * The UUID that the same request made before, if it did; for who has work to do, outside any transaction, before the key is
 * claimed.
 * @throws IDEMPOTENCY_KEY_REUSED when the key was used with another input.
 */
export async function findEarlier(
  tx: Tx,
  caller: Caller,
  { operation, key, input }: IdempotentOperation,
): Promise<string | undefined> {
  if (key === undefined || key === null) return undefined;
  const [stored] = await tx.sql<StoredKey>`
    SELECT input_hash, result_id FROM platform.idempotency_key
    WHERE tenant_id = ${caller.tenantId} AND principal_id = ${caller.principalId} AND operation = ${operation} AND key = ${key}`;
  if (stored && stored.inputHash !== hashInput(input)) {
    throw platformErrors.IDEMPOTENCY_KEY_REUSED({ details: { operation } });
  }
  return stored?.resultId;
}

/** A client's repeats come within minutes; a week also covers one that was switched off over the weekend. */
const REMEMBERED_FOR = "7 days";
const FORGOTTEN_AT_A_TIME = 5_000;

/** Forgets keys of all tenants that are older than a week, and returns how many; called by the schedules. */
export async function forgetOldKeys(): Promise<number> {
  return systemTx("idempotency keys: forget old ones", async (tx) => {
    const forgotten = await tx.sql<{ key: string }>`
      DELETE FROM platform.idempotency_key WHERE ctid IN (
        SELECT ctid FROM platform.idempotency_key WHERE created_at < now() - ${REMEMBERED_FOR}::interval
        LIMIT ${FORGOTTEN_AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING key`;
    return forgotten.length;
  });
}

/** A hash that does not depend on the order of an object's keys. */
export function hashInput(input: unknown): string {
  return createHash("sha256").update(canonicalJson(input)).digest("base64url");
}

/** JSON with sorted keys (RFC 8785 in the subset that our inputs use: no lone surrogates, bigint as string). */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === "bigint") return item.toString();
    if (item === null || typeof item !== "object" || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}
