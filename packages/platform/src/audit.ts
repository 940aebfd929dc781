import type { Caller } from "./caller.ts";
import { texts, uuids } from "./columns.ts";
import { json, type Tx } from "./db.ts";
import { newId } from "./ids.ts";

export interface AuditRecord {
  /** What happened, past tense: `identity.apiKey.created`. */
  readonly action: string;
  /** The public id or key of what it happened to. */
  readonly target: string;
  /** Facts a reviewer needs. No secrets, no prompts. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Records who did what, in the transaction that does it. Entries are append-only; identity shows and seals them. */
export async function recordAudit(tx: Tx, caller: Caller, record: AuditRecord): Promise<void> {
  await tx.gatherFor(insertEntries, [{ id: newId(), caller, record }]);
}

interface Entry {
  readonly id: string;
  readonly caller: Caller;
  readonly record: AuditRecord;
}

function insertEntries(tx: Tx, entries: readonly Entry[]): Promise<unknown> {
  return tx.sql`
    INSERT INTO platform.audit_entry (id, tenant_id, principal_id, principal_kind, action, target, details, request_id)
    SELECT (${uuids(entries, ({ id }) => id)}::uuid[])[i], (${uuids(entries, ({ caller }) => caller.tenantId)}::uuid[])[i],
           (${uuids(entries, ({ caller }) => caller.principalId)}::uuid[])[i], (${texts(entries, ({ caller }) => caller.principalKind)}::text[])[i],
           (${texts(entries, ({ record }) => record.action)}::text[])[i], (${texts(entries, ({ record }) => record.target)}::text[])[i],
           (${texts(entries, ({ record }) => json(record.details ?? {}))}::text[])[i]::jsonb,
           (${texts(entries, ({ caller }) => caller.requestId)}::text[])[i]
    FROM generate_series(1, ${entries.length}::int) AS i`;
}
