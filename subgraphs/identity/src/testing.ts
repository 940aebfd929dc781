import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { insertMember } from "./membership/membership.ts";
import { ROLES, type RoleKey } from "./role/role.ts";
import { provisionTenantFor, type TenantInput } from "./tenant/tenant.ts";
import { hashPassword } from "./user/password.ts";
import { ensureUser, type UserDraft } from "./user/user.ts";

/** The password of everybody made here. */
export const PASSWORD = "correct horse battery staple";

// Hashed once a process and cheaply (verifying costs what the stored hash says): tests of many sign-ins do not wait for scrypt.
const CHEAP = { N: 2, r: 1, p: 1 };
let passwordHash: Promise<string> | undefined;

async function draftPerson(role: RoleKey): Promise<UserDraft> {
  passwordHash ??= hashPassword(PASSWORD, CHEAP);
  return {
    email: `${role}-${newId()}@example.test`,
    displayName: `Mo ${ROLES[role].name}`,
    passwordHash: await passwordHash,
  };
}

export interface GivenTenant {
  readonly tenantId: string;
  /** Its owner, signed in. */
  readonly owner: Caller;
  readonly ownerEmail: string;
}

/** A tenant of its own for a test, with its owner. */
export async function givenTenant(options: Partial<Pick<TenantInput, "name" | "planKey">> = {}): Promise<GivenTenant> {
  const person = await draftPerson("owner");
  const { tenantId, caller } = await provisionTenantFor(person, { name: "Test tenant", ...options });
  return { tenantId, owner: caller, ownerEmail: person.email };
}

export interface GivenMember {
  readonly caller: Caller;
  readonly email: string;
}

/** A new member of the tenant, signed in; in a new tenant when none is given. */
export async function givenMember(role: RoleKey, tenant?: GivenTenant): Promise<GivenMember> {
  const { owner, tenantId } = tenant ?? (await givenTenant());
  const person = await draftPerson(role);
  const userId = await withTenant(owner, async (tx) => {
    const id = await ensureUser(tx, person);
    await insertMember(tx, owner, { userId: id, roles: [role] });
    return id;
  });
  const permissions = new Set(ROLES[role].permissions);
  return {
    email: person.email,
    caller: { tenantId, principalId: userId, principalKind: "USER", permissions, requestId: newId() },
  };
}

interface Connection {
  query<Row extends object>(text: string): Promise<{ rows: Row[] }>;
}

/** How many sessions of this database wait for a lock: tells that work which is to overlap is under way. */
export async function countLockWaits(owner: Connection): Promise<number> {
  // Within a transaction the first look is remembered.
  await owner.query("SELECT pg_stat_clear_snapshot()");
  const { rows } = await owner.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
  );
  return rows[0]?.count ?? 0;
}
