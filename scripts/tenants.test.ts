import { execFile } from "node:child_process";
import { join } from "node:path";
import { givenTenant } from "@sba/identity/testing";
import { encodeId, newId } from "@sba/platform/ids";
import { pubsub } from "@sba/platform/pubsub";
import { reader } from "@sba/platform/reader";
import { findSuspensions } from "@sba/platform/suspension";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { expect, test } from "vitest";

const database = useDatabase();

/** Runs the command as an operator of this file's database. */
function tenants(...args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  const { app, system } = database().urls;
  const env = { ...process.env, DATABASE_URL: app, DATABASE_SYSTEM_URL: system, REDIS_URL: "", LOG_LEVEL: "silent" };
  return new Promise((resolve) => {
    execFile(process.execPath, [join(import.meta.dirname, "tenants.ts"), ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error ? 1 : 0, said: stdout + stderr });
    });
  });
}

test("suspends a tenant for the platform, tells gateways, shows it, and resumes it", async () => {
  const { owner, tenantId } = await givenTenant();
  const id = encodeId("Tenant", tenantId);
  const heard: unknown[] = [];
  const leave = await pubsub().subscribe("identity.revoked", (payload) => heard.push(JSON.parse(payload ?? "null")));
  expect(await tenants("--suspend", id, "--reason", "Not paid")).toEqual({ code: 0, said: `${id} is suspended.\n` });
  await eventually(() => heard.length === 1);
  expect(heard).toEqual([{ tenantId }]);
  expect(await findSuspensions(owner)).toMatchObject([{ suspendedBy: "PLATFORM", reason: "Not paid" }]);
  expect((await tenants()).said).toMatch(new RegExp(`^${id}  by PLATFORM since .*: Not paid\n$`));
  expect(await reader(owner).auditEntry.findMany({ where: { action: "identity.tenant.suspended" } })).toMatchObject([
    { principalKind: "SERVICE_ACCOUNT", target: id, details: { by: "PLATFORM", reason: "Not paid" } },
  ]);
  expect(await tenants("--resume", id)).toMatchObject({ code: 0 });
  expect(await findSuspensions(owner)).toEqual([]);
  expect((await tenants()).said).toBe("No tenant is suspended.\n");
  await leave();
});

test("refuses a tenant that is not there, what is no tenant, and a suspension without a reason", async () => {
  const id = encodeId("Tenant", newId());
  expect(await tenants("--suspend", id, "--reason", "Why not")).toMatchObject({
    code: 1,
    said: expect.stringContaining("There is no such tenant."),
  });
  expect(await tenants("--resume", "ten_nobody")).toMatchObject({ code: 1, said: expect.stringContaining("ten_") });
  expect(await tenants("--suspend", id)).toMatchObject({ code: 1, said: expect.stringContaining("--reason") });
});
