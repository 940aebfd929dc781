import type { Caller } from "@sba/platform/caller";
import type { AuditEntry } from "@sba/platform/generated/prisma/client";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";

export interface AuditFilter {
  /** The exact action: `identity.apiKey.created`. */
  readonly action?: string | undefined;
  /** UUID of who did it. */
  readonly principalId?: string | undefined;
  /** The public id or key of what it happened to. */
  readonly target?: string | undefined;
  /** The first moment. */
  readonly from?: Date | undefined;
  /** The first moment after. */
  readonly to?: Date | undefined;
}

/** The tenant's entries with these UUIDs. */
export function findAuditEntries(caller: Caller, ids: readonly string[]): Promise<AuditEntry[]> {
  return reader(caller).auditEntry.findMany({ where: { tenantId: caller.tenantId, id: { in: [...ids] } } });
}

/** Who did what in the caller's tenant, newest first. */
export async function listAuditEntries(
  caller: Caller,
  { first, after, filter = {} }: PageRequest & { readonly filter?: AuditFilter },
): Promise<Page<AuditEntry>> {
  const position = decodeIdCursor(after);
  const { action, principalId, target, from, to } = filter;
  const rows = await reader(caller).auditEntry.findMany({
    where: {
      tenantId: caller.tenantId,
      ...(position === undefined ? {} : { id: { lt: position } }),
      ...(action === undefined ? {} : { action }),
      ...(principalId === undefined ? {} : { principalId }),
      ...(target === undefined ? {} : { target }),
      ...(from === undefined && to === undefined ? {} : { at: { ...(from && { gte: from }), ...(to && { lt: to }) } }),
    },
    orderBy: { id: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}
