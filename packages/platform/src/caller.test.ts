import { describe, expect, it } from "vitest";
import { deserializeCaller, hasPermission, requirePermission, serializeCaller, type Caller } from "./caller.ts";
import { newId } from "./ids.ts";
import { ALL_PERMISSIONS, isPermission, PERMISSIONS } from "./permissions.ts";

const CALLER: Caller = {
  tenantId: newId(),
  principalId: newId(),
  principalKind: "USER",
  permissions: new Set(["run:read", "run:start"]),
  requestId: "req-1",
};

describe("a caller", () => {
  it("has the permissions it was given and no other", () => {
    expect(hasPermission(CALLER, "run:start")).toBe(true);
    expect(hasPermission(CALLER, "run:cancel")).toBe(false);
    expect(() => {
      requirePermission(CALLER, "run:start");
    }).not.toThrow();
    expect(() => {
      requirePermission(CALLER, "run:cancel");
    }).toThrow(
      expect.objectContaining({
        code: "PERMISSION_MISSING",
        kind: "permission_denied",
        details: { permission: "run:cancel" },
      }),
    );
  });

  it("survives the journey in a job or token unchanged", () => {
    for (const caller of [
      CALLER,
      { ...CALLER, expiresAtMs: 1_800_000_000_000, permissions: new Set(ALL_PERMISSIONS) },
    ]) {
      const travelled: unknown = JSON.parse(JSON.stringify(serializeCaller(caller)));
      expect(deserializeCaller(travelled as ReturnType<typeof serializeCaller>)).toEqual(caller);
    }
  });

  it("loses permissions that this deployment does not know, and gains none", () => {
    const serialized = {
      ...serializeCaller(CALLER),
      permissions: ["run:read", "run:rule-the-world", "constructor", "__proto__"],
    };
    expect([...deserializeCaller(serialized).permissions]).toEqual(["run:read"]);
  });
});

describe("the catalogue of permissions", () => {
  it("names each as resource:action and says in a sentence what it allows", () => {
    for (const [name, description] of Object.entries(PERMISSIONS)) {
      expect(name).toMatch(/^[a-z]+:[a-z]+$/);
      expect(description, name).toMatch(/^[A-Z].*\.$/);
    }
    expect(ALL_PERMISSIONS).toEqual(Object.keys(PERMISSIONS));
  });

  it("knows its own, and nothing that every object has", () => {
    expect(ALL_PERMISSIONS.every(isPermission)).toBe(true);
    for (const name of ["", "run", "run:", "toString", "constructor", "__proto__", "RUN:READ"])
      expect(isPermission(name), name).toBe(false);
  });
});
