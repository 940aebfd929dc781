import type pg from "pg";

/** Ways around row level security that the catalogue shows without any row. */
export interface Exposure {
  readonly object: string;
  readonly reason: string;
}

/**
 * Tables without a tenant that the application role may use, each with its reason. Whoever adds one says here why nobody
 * can learn from it about a tenant that is not theirs.
 */
const GLOBAL_TABLES: Readonly<Record<string, string>> = {
  'identity."user"':
    "a person may belong to several tenants; read by e-mail address at sign-in, before a tenant is known",
  "identity.sign_in_attempt": "counts failures by a hash of the e-mail address, before a tenant is known",
  "identity.known_origin":
    "a browser asks before a tenant is known; it counts the tenants of an origin, and names none",
  "identity.signing_key": "one issuer signs for every tenant; private keys are sealed with the secret key",
};

const OURS = "n.nspname !~ '^(pg_|information_schema$)'";
const HAS_TENANT = (oid: string): string =>
  `EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = ${oid} AND t.attname = 'tenant_id' AND NOT t.attisdropped)`;
const TENANT_IN = (oid: string, keys: string): string =>
  `EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = ${oid} AND t.attname = 'tenant_id' AND t.attnum = ANY(${keys}))`;
/** The one expression that decides: as Postgres prints it. */
const TENANT_TEST = "(tenant_id = (NULLIF(current_setting(''app.current_tenant''::text, true), ''''::text))::uuid)";
/** The policy is of everyone or of the role ($1). */
const APPLIES = "(p.polroles = '{0}' OR $1::regrole::oid = ANY(p.polroles))";

const TABLES = `SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND ${OURS}`;

const CHECKS: Readonly<Record<string, string>> = {
  "row level security is off": `SELECT c.oid::regclass::text FROM (${TABLES}) c WHERE ${HAS_TENANT("c.oid")} AND NOT c.relrowsecurity`,
  "it is not forced on the owner": `SELECT c.oid::regclass::text FROM (${TABLES}) c WHERE ${HAS_TENANT("c.oid")} AND c.relrowsecurity AND NOT c.relforcerowsecurity`,
  "it has no policy": `SELECT c.oid::regclass::text FROM (${TABLES}) c
    WHERE ${HAS_TENANT("c.oid")} AND c.relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND ${APPLIES})`,
  "a policy of the application role lacks WITH CHECK": `SELECT p.polrelid::regclass || '.' || p.polname FROM pg_policy p
    WHERE p.polpermissive AND ${APPLIES} AND p.polcmd IN ('*', 'a', 'w') AND p.polwithcheck IS NULL`,
  "a policy of the application role does not compare the tenant": `SELECT p.polrelid::regclass || '.' || p.polname FROM pg_policy p
    WHERE p.polpermissive AND ${APPLIES} AND ${HAS_TENANT("p.polrelid")}
      AND concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) !~ 'tenant_id'`,
  "a policy lets in what it does not compare": `SELECT p.polrelid::regclass || '.' || p.polname FROM pg_policy p
    WHERE p.polpermissive AND ${APPLIES} AND ${HAS_TENANT("p.polrelid")}
      AND (coalesce(pg_get_expr(p.polqual, p.polrelid), '${TENANT_TEST}') <> '${TENANT_TEST}'
        OR coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '${TENANT_TEST}') <> '${TENANT_TEST}')`,
  "a foreign key between tenants' tables leaves the tenant out": `SELECT k.conrelid::regclass || '.' || k.conname FROM pg_constraint k
    WHERE k.contype = 'f' AND ${HAS_TENANT("k.conrelid")} AND ${HAS_TENANT("k.confrelid")} AND NOT ${TENANT_IN("k.conrelid", "k.conkey")}`,
  "a unique index leaves the tenant out": `SELECT i.indexrelid::regclass::text FROM pg_index i JOIN (${TABLES}) c ON c.oid = i.indrelid
    WHERE i.indisunique AND NOT i.indisprimary AND ${HAS_TENANT("i.indrelid")} AND NOT ${TENANT_IN("i.indrelid", "i.indkey")}`,
  "a view runs with its owner's rights": `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND ${OURS} AND has_table_privilege($1, c.oid, 'SELECT')
      AND NOT coalesce(c.reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1']`,
  "a materialized view is readable": `SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'm' AND has_table_privilege($1, c.oid, 'SELECT')`,
  "a function runs with its owner's rights": `SELECT f.oid::regprocedure::text FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE f.prosecdef AND ${OURS} AND has_function_privilege($1, f.oid, 'EXECUTE')`,
  "the role may truncate": `SELECT c.oid::regclass::text FROM (${TABLES}) c WHERE has_table_privilege($1, c.oid, 'TRUNCATE')`,
  "the role may use a table of no tenant that is not known to be global": `SELECT c.oid::regclass::text FROM (${TABLES}) c
    WHERE NOT ${HAS_TENANT("c.oid")} AND NOT c.oid::regclass::text = ANY($2)
      AND has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE')`,
  "the role owns it": `SELECT c.oid::regclass::text FROM (${TABLES}) c WHERE c.relowner = $1::regrole`,
  "the role bypasses row level security": `SELECT r.rolname FROM pg_roles r WHERE r.rolname = $1 AND (r.rolsuper OR r.rolbypassrls)`,
};

/** Everything that the catalogue shows against a role that serves, sorted; nothing is as it should be. */
export async function findExposures(owner: pg.Client, role: string): Promise<Exposure[]> {
  const found: Exposure[] = [];
  for (const [reason, sql] of Object.entries(CHECKS)) {
    const parameters = sql.includes("$2") ? [role, Object.keys(GLOBAL_TABLES)] : sql.includes("$1") ? [role] : [];
    const { rows } = await owner.query<[string]>({ text: sql, values: parameters, rowMode: "array" });
    found.push(...rows.map(([object]) => ({ object, reason })));
  }
  return found.sort((a, b) => (a.object < b.object ? -1 : 1));
}
