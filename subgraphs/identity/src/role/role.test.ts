import { describe, expect, it } from "vitest";
import { ALL_PERMISSIONS } from "@sba/platform/permissions";
import { aCaller } from "@sba/testkit/fixtures";
import { expectData } from "@sba/testkit/graphql";
import { schema } from "../schema.ts";
import { permissionsOf, requireHeld, rolesOf, ROLES } from "./role.ts";

describe("built-in roles", () => {
  it("grant everything to the owner, and all but the tenant itself to the administrator", () => {
    expect(new Set(ROLES.owner.permissions)).toEqual(new Set(ALL_PERMISSIONS));
    expect(ALL_PERMISSIONS.filter((permission) => !ROLES.admin.permissions.includes(permission))).toEqual([
      "tenant:manage",
    ]);
  });

  it("let a viewer only read, an operator run and decide, and a partner see usage", () => {
    expect(ROLES.viewer.permissions.every((permission) => permission.endsWith(":read"))).toBe(true);
    expect(ROLES.operator.permissions).toEqual(expect.arrayContaining([...ROLES.viewer.permissions]));
    expect(ROLES.operator.permissions).toEqual(
      expect.arrayContaining(["run:start", "approval:decide", "knowledge:write", "workflow:start"]),
    );
    expect(ROLES.operator.permissions.filter((permission) => permission.endsWith(":manage"))).toEqual([]);
    expect(ROLES.partner.permissions).toEqual(["usage:read"]);
  });

  it("add up, and unknown ones grant nothing", () => {
    expect(permissionsOf(["partner", "viewer"])).toEqual(permissionsOf(["viewer"]));
    expect(permissionsOf(["emperor", "constructor"])).toEqual(new Set());
    expect(rolesOf(["partner", "emperor"]).map(({ key }) => key)).toEqual(["partner"]);
  });

  it("can be granted only by who holds all that they grant", () => {
    const operator = aCaller({ permissions: ROLES.operator.permissions });
    expect(() => {
      requireHeld(operator, ROLES.viewer.permissions);
    }).not.toThrow();
    expect(() => {
      requireHeld(operator, ROLES.admin.permissions);
    }).toThrow(expect.objectContaining({ code: "IDENTITY_PERMISSION_NOT_HELD" }));
  });

  it("are found by their key from other subgraphs", async () => {
    const { _entities } = await expectData(
      schema,
      aCaller(),
      `{
      _entities(representations: [{ __typename: "Role", key: "partner" }, { __typename: "Role", key: "emperor" }]) { ... on Role { key name permissions } }
    }`,
    );
    expect(_entities).toEqual([{ key: "partner", name: "Partner", permissions: ["usage:read"] }, null]);
  });
});
