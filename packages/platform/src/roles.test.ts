import { makeDatabase, useDatabase } from "@sba/testkit/services";
import pg from "pg";
import { afterAll, expect, test } from "vitest";
import { provisionRoles, requireSafeRole, UnsafeRoleError } from "./roles.ts";

const database = useDatabase({ connect: false });
const madeRoles: string[] = [];

// Roles belong to the cluster, which other files share: the name says whose it is, and it goes with this file.
async function role(attributes: string): Promise<{ name: string; url: string }> {
  const name = `roles_test_${process.pid}_${madeRoles.length}`;
  madeRoles.push(name);
  await database().owner.query(`CREATE ROLE ${name} LOGIN PASSWORD 'secret' ${attributes}`);
  const url = new URL(database().urls.admin);
  Object.assign(url, { username: name, password: "secret" });
  return { name, url: url.href };
}

afterAll(async () => {
  const { database: other, drop } = await makeDatabase(false);
  for (const name of madeRoles) await other.owner.query(`DROP ROLE IF EXISTS ${name}`);
  await other.owner.end();
  await drop();
});

async function whoAmI(url: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ role: string }>(
    "SELECT current_user AS role, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user",
  );
  await client.end();
  return rows[0];
}

test("makes two roles that can log in and bypass nothing", async () => {
  const urls = await provisionRoles(database().urls.admin, "a-secret-key-that-only-tests-know");
  expect(await whoAmI(urls.app)).toEqual({ role: "sba_app", rolsuper: false, rolbypassrls: false });
  expect(await whoAmI(urls.system)).toEqual({ role: "sba_system", rolsuper: false, rolbypassrls: false });
});

test("derives the same passwords from the same secret, whoever starts first", async () => {
  const [one, two] = await Promise.all(
    [1, 2].map(() => provisionRoles(database().urls.admin, "a-secret-key-that-only-tests-know")),
  );
  expect(one).toEqual(two);
  expect(new URL(one!.app).password).not.toBe(new URL(one!.system).password);
});

test("accepts the application role", async () => {
  await expect(requireSafeRole(database().urls.app)).resolves.toBeUndefined();
});

test("refuses a superuser", async () => {
  await expect(requireSafeRole(database().urls.admin)).rejects.toThrow(/postgres of DATABASE_URL is a superuser/);
});

test("refuses a role that bypasses row level security", async () => {
  const { url } = await role("BYPASSRLS");
  await expect(requireSafeRole(url)).rejects.toThrow(/has BYPASSRLS/);
});

test("refuses a role that owns a table", async () => {
  const { name, url } = await role("");
  await database().owner.query(
    `CREATE TABLE public.belongings (id int); ALTER TABLE public.belongings OWNER TO ${name}`,
  );
  await expect(requireSafeRole(url)).rejects.toThrow(UnsafeRoleError);
  await expect(requireSafeRole(url)).rejects.toThrow(/owns belongings/);
  await database().owner.query("DROP TABLE public.belongings");
});

test("refuses a role that may become an owner", async () => {
  const owner = await role("");
  const member = await role("");
  await database().owner.query(
    `CREATE TABLE public.estate (id int); ALTER TABLE public.estate OWNER TO ${owner.name}; GRANT ${owner.name} TO ${member.name}`,
  );
  await expect(requireSafeRole(member.url)).rejects.toThrow(/owns estate/);
  await database().owner.query("DROP TABLE public.estate");
});
