import { describe, expect, it } from "vitest";
import { newId } from "@sba/platform/ids";
import { makeCredential, parseCredential, sameSecret, shownPrefix } from "./credential.ts";

describe("credentials", () => {
  it("name their row and tenant, and prove themselves by a secret that is not stored", () => {
    const [tenantId, id] = [newId(), newId()];
    const { text, secretHash } = makeCredential("sba", tenantId, id);
    expect(text).toMatch(/^sba_[0-9a-z]{52}_[\w-]{43}$/);
    expect(parseCredential("sba", text)).toEqual({ tenantId, id, secretHash });
    expect(text.startsWith(shownPrefix("sba", id))).toBe(true);
    expect(secretHash).not.toContain(text.slice(-43));
  });

  it("of one kind are not taken for the other, and what is not ours is nothing", () => {
    const { text } = makeCredential("sbr", newId(), newId());
    expect(parseCredential("sba", text)).toBeUndefined();
    for (const other of [
      "",
      "sba_",
      `${text} `,
      text.replace("sbr_", "sbr_u"),
      `sba_${"z".repeat(52)}_${"A".repeat(43)}`,
    ]) {
      expect(parseCredential("sba", other)).toBeUndefined();
    }
  });

  it("have secrets that differ in a single bit, not in length", () => {
    const [a, b] = [makeCredential("sba", newId(), newId()), makeCredential("sba", newId(), newId())];
    expect(sameSecret(a.secretHash, a.secretHash)).toBe(true);
    expect(sameSecret(a.secretHash, b.secretHash)).toBe(false);
    expect(sameSecret(a.secretHash, "")).toBe(false);
  });
});
