import { createHmac } from "node:crypto";
import pg from "pg";
import type { DatabaseUrls } from "./db.ts";
import { logger } from "./log.ts";

/**
 * The two roles that serve, beside the owner: `sba_app` sees one tenant at a time, `sba_system` (relay, schedules,
 * reconciler) every tenant's rows by a policy. Neither owns anything or can bypass row level security.
 */

const APP_ROLE = "sba_app";
const SYSTEM_ROLE = "sba_system";
// Two starts at once would both alter the roles: "tuple concurrently updated".
const ROLES_LOCK = 72_707_370;

/** The application role could read every tenant, so nothing may be served with it. */
export class UnsafeRoleError extends Error {
  override readonly name = "UnsafeRoleError";
}

/**
 * Makes both roles able to log in, with passwords that derive from the secret key, and returns their URLs. Repeating it
 * changes nothing. `adminUrl` needs CREATEROLE.
 */
export async function provisionRoles(adminUrl: string, secretKey: string): Promise<DatabaseUrls> {
  await withClient(adminUrl, async (client) => {
    await client.query("BEGIN");
    await client.query("SELECT pg_advisory_xact_lock($1)", [ROLES_LOCK]);
    await provisionRole(client, APP_ROLE, derivePassword(secretKey, APP_ROLE));
    await provisionRole(client, SYSTEM_ROLE, derivePassword(secretKey, SYSTEM_ROLE));
    await client.query("COMMIT");
  });
  return roleUrlsOf(adminUrl, secretKey);
}

/** The URLs of roles that `provisionRoles` made with the same key. */
export function roleUrlsOf(adminUrl: string, secretKey: string): DatabaseUrls {
  const urlOf = (role: string): string => loginUrl(adminUrl, role, derivePassword(secretKey, role));
  return { app: urlOf(APP_ROLE), system: urlOf(SYSTEM_ROLE) };
}

async function provisionRole(client: pg.Client, role: string, password: string): Promise<void> {
  const { rowCount } = await client.query("SELECT 1 FROM pg_roles WHERE rolname = $1", [role]);
  if (rowCount === 0) await client.query(`CREATE ROLE ${role} NOBYPASSRLS`);
  // ALTER is refused for attributes that only a superuser may name, so those that are given at creation stay as they are.
  await client.query(`ALTER ROLE ${role} LOGIN PASSWORD ${client.escapeLiteral(password)}`);
}

function derivePassword(secretKey: string, role: string): string {
  return createHmac("sha256", secretKey).update(`database role ${role}`).digest("base64url");
}

function loginUrl(adminUrl: string, role: string, password: string): string {
  const url = new URL(adminUrl);
  url.username = role;
  url.password = password;
  return url.href;
}

interface RoleFacts {
  readonly name: string;
  readonly superuser: boolean;
  readonly bypasses: boolean;
  readonly owned: string | null;
}

/**
 * Refuses to serve with a role that row level security does not hold: a superuser, one with BYPASSRLS, or one that owns a
 * table or belongs to a role that does (an owner may switch the policies off).
 * @throws UnsafeRoleError naming the role and every reason.
 */
export async function requireSafeRole(appUrl: string): Promise<void> {
  const facts = await withClient(appUrl, async (client) => {
    const { rows } = await client.query<RoleFacts>(`
      SELECT rolname AS name, rolsuper AS superuser, rolbypassrls AS bypasses,
             (SELECT min(c.oid::regclass::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)'
                AND pg_has_role(pg_roles.rolname, c.relowner, 'MEMBER')) AS owned
      FROM pg_roles WHERE rolname = current_user`);
    return rows[0];
  });
  if (!facts) throw new UnsafeRoleError("The role of DATABASE_URL is unknown to its database.");
  const reasons = [
    ...(facts.superuser ? ["is a superuser"] : []),
    ...(facts.bypasses ? ["has BYPASSRLS"] : []),
    ...(facts.owned === null ? [] : [`owns ${facts.owned}`]),
  ];
  if (reasons.length === 0) return;
  throw new UnsafeRoleError(
    `The role ${facts.name} of DATABASE_URL ${reasons.join(", ")}: row level security would not hold. Use a role that owns nothing, or give only DATABASE_ADMIN_URL.`,
  );
}

async function withClient<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString, application_name: "sba-start", connectionTimeoutMillis: 10_000 });
  client.on("error", (error) => {
    logger.debug({ err: error }, "start-up connection failed");
  });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
