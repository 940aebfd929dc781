import { describe, expect, it, vi } from "vitest";
import {
  createdAtOf,
  decodeId,
  encodeId,
  ID_PREFIXES,
  isUuid,
  newId,
  newIdAfter,
  parseId,
  type IdType,
} from "./ids.ts";

const UUID = "01890a5d-ac96-774b-bcce-b302099a8057";
const TYPES = Object.keys(ID_PREFIXES) as IdType[];

describe("a new id", () => {
  it("is a UUIDv7 of now (RFC 9562)", () => {
    const before = Date.now();
    const id = newId();
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const madeAt = createdAtOf(id).getTime();
    expect(madeAt).toBeGreaterThanOrEqual(before);
    expect(madeAt).toBeLessThanOrEqual(Date.now());
    expect(isUuid(id)).toBe(true);
    expect(createdAtOf(UUID)).toEqual(new Date(0x01890a5dac96));
  });

  it("is greater than every one before, within a millisecond and when the clock is set back", () => {
    const ids = Array.from({ length: 10_000 }, newId);
    const now = Date.now();
    vi.spyOn(Date, "now").mockReturnValue(now - 60_000);
    ids.push(newId(), newId());
    vi.restoreAllMocks();
    ids.push(newId());
    expect(ids).toEqual(ids.toSorted());
  });

  it("is greater than one of another process whose clock is ahead, and so are those that follow", () => {
    const ahead = newId();
    const later = `${(Number.parseInt(ahead.slice(0, 8), 16) + 1).toString(16).padStart(8, "0")}-ffff-7fff-bfff-ffffffffffff`;
    const ids = [later, newIdAfter(later), newIdAfter(ahead), newId()];
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("is never made twice", () => {
    expect(new Set(Array.from({ length: 10_000 }, newId)).size).toBe(10_000);
  });
});

describe("a public id", () => {
  it("is the prefix of its type and 26 characters that are safe in URLs", () => {
    expect(encodeId("Run", UUID)).toMatch(/^run_[0-9a-hjkmnp-tv-z]{26}$/);
    expect(encodeId("Run", "00000000-0000-0000-0000-000000000000")).toBe(`run_${"0".repeat(26)}`);
    expect(encodeId("Run", "ffffffff-ffff-ffff-ffff-ffffffffffff")).toBe(`run_7${"z".repeat(25)}`);
  });

  it("leads back to its UUID, for every type", () => {
    for (const type of TYPES) {
      for (const uuid of [
        UUID,
        newId(),
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
      ]) {
        expect(decodeId(type, encodeId(type, uuid))).toBe(uuid);
        expect(parseId(encodeId(type, uuid))).toEqual({ type, uuid });
      }
    }
  });

  it("sorts as its UUIDs do", () => {
    const uuids = [
      "01890a5d-ac96-774b-bcce-b302099a8057",
      "01890a5d-ac97-774b-bcce-b302099a8057",
      "0290aaaa-0000-7000-8000-000000000000",
    ];
    const encoded = uuids.map((uuid) => encodeId("Run", uuid));
    expect(encoded.toSorted()).toEqual(encoded);
  });

  it("has a prefix of its own for every type", () => {
    expect(new Set(Object.values(ID_PREFIXES)).size).toBe(TYPES.length);
    for (const prefix of Object.values(ID_PREFIXES)) expect(prefix).toMatch(/^[a-z]{3}$/);
  });

  it("of another type is refused, and said to be", () => {
    expect(() => decodeId("Run", encodeId("Agent", UUID))).toThrow(
      expect.objectContaining({ code: "ID_INVALID", details: { expected: "Run" } }),
    );
  });

  it("in any other spelling is none", () => {
    const good = encodeId("Run", UUID);
    const body = good.slice(4);
    for (const text of [
      "",
      "run_",
      UUID,
      body,
      good.toUpperCase(),
      `${good} `,
      `${good}0`,
      good.slice(0, -1),
      `run-${body}`,
      `xyz_${body}`,
      `run_8${body.slice(1)}`,
      `run_i${body.slice(1)}`,
      `run_${"l".repeat(26)}`,
    ]) {
      expect(parseId(text), text).toBeUndefined();
      expect(() => decodeId("Run", text), text).toThrow(expect.objectContaining({ code: "ID_INVALID" }));
    }
  });
});

describe("a UUID", () => {
  it("is told from anything else, in lower case only, as Postgres writes it", () => {
    expect(isUuid(UUID)).toBe(true);
    for (const text of [
      "",
      UUID.toUpperCase(),
      `{${UUID}}`,
      UUID.replaceAll("-", ""),
      `${UUID}\n`,
      `${UUID}' OR '1'='1`,
    ]) {
      expect(isUuid(text), text).toBe(false);
    }
  });
});
