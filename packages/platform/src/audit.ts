import type { Caller } from "./caller.ts";
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
  await tx.sql`
    INSERT INTO platform.audit_entry (id, tenant_id, principal_id, principal_kind, action, target, details, request_id)
    VALUES (${newId()}, ${caller.tenantId}, ${caller.principalId}, ${caller.principalKind}, ${record.action},
            ${record.target}, ${json(record.details ?? {})}::jsonb, ${caller.requestId})`;
}
