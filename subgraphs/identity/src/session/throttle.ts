import { createHash } from "node:crypto";
import { withTenant, type Tx } from "@sba/platform/db";
import type { SignInAttempt } from "@sba/platform/generated/prisma/client";
import { NO_TENANT } from "../anonymous.ts";
import { errors } from "../errors.ts";

/** Attempts before the first pause. Each further one doubles the pause, up to the longest. */
export const FREE_ATTEMPTS = 5;
const FIRST_PAUSE_S = 30;
const LONGEST_PAUSE_S = 15 * 60;
/** Failures older than this are forgotten. */
const MEMORY_S = 60 * 60;

/**
 * Counts an attempt to sign in before the password is looked at, so that attempts made at once are counted too; a right
 * password forgets them. Unknown accounts are counted like known ones.
 * @throws IDENTITY_SIGN_IN_THROTTLED with retryAfterMs, without counting, while the account pauses.
 */
export async function claimAttempt(email: string): Promise<void> {
  const account = accountOf(email);
  const pauseMs = await withTenant(NO_TENANT, async (tx) =>
    (await countAttempt(tx, account)) ? undefined : remainingPause(tx, account),
  );
  if (pauseMs !== undefined) throw errors.IDENTITY_SIGN_IN_THROTTLED({ retryAfterMs: pauseMs });
}

async function countAttempt(tx: Tx, account: string): Promise<boolean> {
  const [counted] = await tx.sql<Pick<SignInAttempt, "failures">>`
    INSERT INTO identity.sign_in_attempt AS attempt (account, failures, last_at) VALUES (${account}, 1, clock_timestamp())
    ON CONFLICT (account) DO UPDATE SET
      failures = CASE WHEN attempt.last_at < clock_timestamp() - make_interval(secs => ${MEMORY_S}) THEN 1 ELSE attempt.failures + 1 END,
      last_at = clock_timestamp()
    WHERE attempt.blocked_until IS NULL OR attempt.blocked_until <= clock_timestamp()
    RETURNING failures`;
  if (!counted) return false;
  await setPause(tx, account, counted.failures);
  await forgetOldAttempts(tx);
  return true;
}

async function setPause(tx: Tx, account: string, failures: number): Promise<void> {
  if (failures < FREE_ATTEMPTS) return;
  const pauseS = Math.min(FIRST_PAUSE_S * 2 ** (failures - FREE_ATTEMPTS), LONGEST_PAUSE_S);
  await tx.sql`
    UPDATE identity.sign_in_attempt SET blocked_until = clock_timestamp() + make_interval(secs => ${pauseS}) WHERE account = ${account}`;
}

async function forgetOldAttempts(tx: Tx): Promise<void> {
  await tx.sql`
    DELETE FROM identity.sign_in_attempt WHERE account IN (
      SELECT account FROM identity.sign_in_attempt WHERE last_at < clock_timestamp() - make_interval(secs => ${MEMORY_S})
      LIMIT 10 FOR UPDATE SKIP LOCKED)`;
}

async function remainingPause(tx: Tx, account: string): Promise<number> {
  const [attempt] = await tx.sql<{ pauseMs: number }>`
    SELECT greatest(ceil(extract(epoch FROM blocked_until - clock_timestamp()) * 1000), 1)::int AS pause_ms
    FROM identity.sign_in_attempt WHERE account = ${account}`;
  return attempt?.pauseMs ?? 1;
}

/** Forgets the failures of an account, in the transaction that opens its session. */
export async function forgetAttempts(tx: Tx, email: string): Promise<void> {
  await tx.sql`DELETE FROM identity.sign_in_attempt WHERE account = ${accountOf(email)}`;
}

function accountOf(email: string): string {
  return createHash("sha256").update(email).digest("base64url");
}
