import { withTenant } from "@sba/platform/db";
import { migrateQueue } from "@sba/platform/queue-postgres";
import { useDatabase } from "@sba/testkit/services";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findExposures } from "./rls-catalogue.ts";
import { seedEveryTable, type TenantTable } from "./rls-rows.ts";

/**
 * Row level security over the catalogue: every table that has a tenant_id, those of tomorrow too. Rows of two tenants are
 * put into all of them, and everything that crosses is tried as the application role.
 */

const ONE = "0197a000-0000-7000-8000-00000000000a";
const OTHER = "0197a000-0000-7000-8000-00000000000b";
const PRIVILEGE_MISSING = "42501";

const database = useDatabase();
let tables: readonly TenantTable[];
let app: pg.Client;

beforeAll(async () => {
  await migrateQueue(database().urls.admin);
  tables = await seedEveryTable(database().owner, [ONE, OTHER]);
  app = new pg.Client({ connectionString: database().urls.app });
  await app.connect();
});
afterAll(() => app.end());

/** Runs a statement as the application role for a tenant, and takes it back. Gives the rows touched, or the refusal's code. */
async function attempt(
  tenantId: string | null,
  sql: string,
  values: readonly unknown[] = [],
): Promise<number | string> {
  await app.query("BEGIN");
  try {
    await app.query("SELECT set_config('app.current_tenant', $1, true)", [tenantId ?? ""]);
    const { rowCount } = await app.query(sql, [...values]);
    return rowCount ?? 0;
  } catch (error) {
    return error instanceof pg.DatabaseError ? (error.code ?? "") : String(error);
  } finally {
    await app.query("ROLLBACK");
  }
}

/** What each table answers, by its name: a failure shows which table it is. */
async function ofEach(
  tenantId: string | null,
  sqlOf: (table: TenantTable) => string,
  values: readonly unknown[] = [],
): Promise<Record<string, number | string>> {
  const answers: Record<string, number | string> = {};
  for (const table of tables) answers[table.name] = await attempt(tenantId, sqlOf(table), values);
  return answers;
}

function expected(answer: (table: TenantTable) => unknown): Record<string, unknown> {
  return Object.fromEntries(tables.map((table) => [table.name, answer(table)]));
}

/** What a statement may answer that must change nothing: no row, or a refusal where the role has no such privilege. */
const nothing = ({ privileges }: TenantTable, privilege: string): number | string =>
  privileges.has(privilege) ? 0 : PRIVILEGE_MISSING;

test("every schema with tenants' tables is covered", () => {
  const schemas = new Set(tables.map(({ name }) => name.split(".")[0]));
  expect([...schemas].sort()).toEqual([
    "agent",
    "billing",
    "identity",
    "integrations",
    "knowledge",
    "platform",
    "workflow",
  ]);
});

describe.each([
  [ONE, OTHER],
  [OTHER, ONE],
])("tenant %s", (own, foreign) => {
  test("reads its own rows and no others", async () => {
    expect(await ofEach(own, ({ name }) => `SELECT 1 FROM ${name} WHERE tenant_id = '${own}'`)).toEqual(
      expected(() => 1),
    );
    expect(await ofEach(own, ({ name }) => `SELECT 1 FROM ${name} WHERE tenant_id IS DISTINCT FROM '${own}'`)).toEqual(
      expected(() => 0),
    );
  });

  test("updates no row of another", async () => {
    expect(
      await ofEach(own, ({ name }) => `UPDATE ${name} SET tenant_id = tenant_id WHERE tenant_id = '${foreign}'`),
    ).toEqual(expected((table) => nothing(table, "UPDATE")));
  });

  test("deletes no row of another", async () => {
    expect(await ofEach(own, ({ name }) => `DELETE FROM ${name} WHERE tenant_id = '${foreign}'`)).toEqual(
      expected((table) => nothing(table, "DELETE")),
    );
  });

  test("gives none of its rows to another", async () => {
    expect(
      await ofEach(own, ({ name }) => `UPDATE ${name} SET tenant_id = '${foreign}' WHERE tenant_id = '${own}'`),
    ).toEqual(expected(() => PRIVILEGE_MISSING));
  });

  test("inserts no row in the name of another", async () => {
    for (const { name, insert, valuesOf } of tables) {
      // The same row under one's own name is let in: what refuses the foreign one is its tenant.
      expect({ [name]: await attempt(foreign, insert, valuesOf(foreign, 2)) }).toEqual({
        [name]: expect.toSatisfy(isNoRefusal),
      });
      expect({ [name]: await attempt(own, insert, valuesOf(foreign, 2)) }).toEqual({ [name]: PRIVILEGE_MISSING });
    }
  });
});

/** A row let in, or one that policies let pass and that a key then refused: to a row that is not there, or of one that is. */
const isNoRefusal = (answer: number | string): boolean => answer === 1 || answer === "23503" || answer === "23505";

describe("without a tenant", () => {
  test("there are no rows", async () => {
    expect(await ofEach(null, ({ name }) => `SELECT 1 FROM ${name}`)).toEqual(expected(() => 0));
  });

  test("nothing is written", async () => {
    for (const { name, insert, valuesOf } of tables)
      expect({ [name]: await attempt(null, insert, valuesOf(ONE, 3)) }).toEqual({ [name]: PRIVILEGE_MISSING });
    expect(await ofEach(null, ({ name }) => `DELETE FROM ${name}`)).toEqual(
      expected((table) => nothing(table, "DELETE")),
    );
  });
});

test("a tenant set in one transaction is not set in the next", async () => {
  await withTenant({ tenantId: ONE }, (tx) => tx.sql`SELECT 1`);
  const { rows } = await app.query<{ tenant: string | null }>(
    "SELECT NULLIF(current_setting('app.current_tenant', true), '') AS tenant",
  );
  expect(rows).toEqual([{ tenant: null }]);
});

describe("the catalogue", () => {
  test("shows no way around row level security", async () => {
    expect(await findExposures(database().owner, "sba_app")).toEqual([]);
  });

  test.each([
    ["row level security is off", "CREATE TABLE agent.leak (tenant_id uuid NOT NULL)"],
    [
      "it is not forced on the owner",
      "CREATE TABLE agent.leak (tenant_id uuid NOT NULL); ALTER TABLE agent.leak ENABLE ROW LEVEL SECURITY",
    ],
    [
      "a policy of the application role lacks WITH CHECK",
      "CREATE TABLE agent.leak (tenant_id uuid NOT NULL); ALTER TABLE agent.leak ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON agent.leak USING (tenant_id = NULLIF(current_setting('app.current_tenant', true), '')::uuid)",
    ],
    [
      "a policy of the application role does not compare the tenant",
      "CREATE POLICY extra ON agent.run FOR SELECT USING (true)",
    ],
    [
      "a policy lets in what it does not compare",
      "CREATE POLICY extra ON agent.run FOR SELECT USING (tenant_id IS NOT NULL)",
    ],
    [
      "a foreign key between tenants' tables leaves the tenant out",
      "CREATE TABLE agent.a (tenant_id uuid NOT NULL, id uuid UNIQUE); CREATE TABLE agent.b (tenant_id uuid NOT NULL, a_id uuid REFERENCES agent.a (id))",
    ],
    ["a unique index leaves the tenant out", "CREATE UNIQUE INDEX leak ON agent.run (prompt)"],
    [
      "a view runs with its owner's rights",
      "CREATE VIEW agent.leak AS SELECT * FROM agent.run; GRANT SELECT ON agent.leak TO sba_app",
    ],
    [
      "a materialized view is readable",
      "CREATE MATERIALIZED VIEW agent.leak AS SELECT * FROM agent.run; GRANT SELECT ON agent.leak TO sba_app",
    ],
    [
      "a function runs with its owner's rights",
      "CREATE FUNCTION agent.leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM agent.run'",
    ],
    ["the role may truncate", "GRANT TRUNCATE ON agent.run TO sba_app"],
    [
      "the role may use a table of no tenant that is not known to be global",
      "CREATE TABLE agent.leak (id uuid); GRANT SELECT ON agent.leak TO sba_app",
    ],
  ])("is found out when %s", async (reason, sql) => {
    const { owner } = database();
    await owner.query("BEGIN");
    try {
      await owner.query(sql);
      const found = await findExposures(owner, "sba_app");
      expect(found.map((exposure) => exposure.reason)).toContain(reason);
    } finally {
      await owner.query("ROLLBACK");
    }
  });
});
