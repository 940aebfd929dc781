import type pg from "pg";

/** Rows for tables of which only the catalogue is known, so that a new table is covered without anybody thinking of it. */

export interface TenantTable {
  /** `"schema"."table"` as SQL takes it. */
  readonly name: string;
  /** INSERT with a placeholder for each column. */
  readonly insert: string;
  /** The row of a tenant, as values of `insert`. Rows of one tenant with different numbers differ in every unique column. */
  readonly valuesOf: (tenantId: string, number: number) => readonly unknown[];
  /** What the application role may do with the table. */
  readonly privileges: ReadonlySet<string>;
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly category: string;
  readonly label: string | null;
}

interface TableRow {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly privileges: readonly string[];
}

const FIND_TABLES = `
  SELECT c.oid::regclass::text AS name,
         array(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p WHERE has_table_privilege('sba_app', c.oid, p)) AS privileges,
         (SELECT json_agg(json_build_object(
                   'name', quote_ident(a.attname), 'type', format_type(a.atttypid, NULL), 'category', t.typcategory,
                   'label', (SELECT min(e.enumlabel) FROM pg_enum e WHERE e.enumtypid = t.oid)) ORDER BY a.attnum)
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a') AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND n.nspname !~ '^(pg_|information_schema$)'
    AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
  ORDER BY 1`;

/** Puts one row of each tenant into every table that has a tenant_id. The connection must be a superuser's. */
export async function seedEveryTable(owner: pg.Client, tenantIds: readonly string[]): Promise<TenantTable[]> {
  const { rows } = await owner.query<TableRow>(FIND_TABLES);
  const tables = rows.map(toTenantTable);
  await owner.query("BEGIN");
  // No triggers and so no foreign keys: a row may point at nothing, here only its tenant matters.
  await owner.query("SET LOCAL session_replication_role = replica");
  await dropChecks(
    owner,
    rows.map(({ name }) => name),
  );
  for (const { insert, valuesOf } of tables) {
    for (const tenantId of tenantIds) await owner.query(insert, [...valuesOf(tenantId, 1)]);
  }
  await owner.query("COMMIT");
  return tables;
}

/** What a CHECK allows cannot be read from the catalogue; the checks have tests of their own. */
async function dropChecks(owner: pg.Client, names: readonly string[]): Promise<void> {
  const { rows } = await owner.query<{ statement: string }>(
    `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS statement
     FROM pg_constraint WHERE contype = 'c' AND conrelid = ANY($1::regclass[])`,
    [names],
  );
  for (const { statement } of rows) await owner.query(statement);
}

function toTenantTable({ name, columns, privileges }: TableRow): TenantTable {
  const names = columns.map((column) => column.name).join(", ");
  const places = columns.map((column, index) => `$${index + 1}::${column.type}`).join(", ");
  return {
    name,
    insert: `INSERT INTO ${name} (${names}) VALUES (${places})`,
    valuesOf: (tenantId, number) =>
      columns.map((column) => (column.name === "tenant_id" ? tenantId : valueOf(column, `${tenantId}/${number}`))),
    privileges: new Set(privileges),
  };
}

/** Some value of the type, another for every seed. Categories: https://www.postgresql.org/docs/18/catalog-pg-type.html */
function valueOf({ type, category, label }: Column, seed: string): unknown {
  const number = [...seed].reduce((sum, character) => (sum * 31 + character.charCodeAt(0)) % 30_000, 7);
  if (type === "uuid") return uuidOf(seed);
  if (type === "json" || type === "jsonb") return "{}";
  if (type === "bytea") return Buffer.from(seed);
  if (type.startsWith("bit")) return "0".repeat(8);
  if (type === "tsvector") return "word";
  if (label !== null) return label;
  switch (category) {
    case "A":
      return "{}";
    case "B":
      return false;
    case "D":
      return new Date(number * 1_000).toISOString();
    case "N":
      return number;
    case "S":
      return `text ${seed}`;
    case "T":
      return `${number} seconds`;
    default:
      throw new Error(`seedEveryTable does not know a value of the type ${type}: teach it here`);
  }
}

function uuidOf(seed: string): string {
  const hex = Buffer.from(seed).toString("hex").slice(-24).padStart(24, "0");
  return `0197a000-${hex.slice(0, 4)}-7${hex.slice(4, 7)}-8${hex.slice(7, 10)}-${hex.slice(-12)}`;
}
