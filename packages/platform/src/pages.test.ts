import { describe, expect, it } from "vitest";
import { newId } from "./ids.ts";
import { decodeIdCursor, decodePageCursor, encodePageCursor, toPage } from "./pages.ts";

describe("a page", () => {
  it("is what was asked for, and knows of one row more", () => {
    expect(toPage([1, 2, 3], 2)).toEqual({ items: [1, 2], hasNextPage: true });
    expect(toPage([1, 2], 2)).toEqual({ items: [1, 2], hasNextPage: false });
    expect(toPage([], 2)).toEqual({ items: [], hasNextPage: false });
  });
});

describe("a cursor", () => {
  it("leads back to its key, whatever is in it", () => {
    for (const key of [newId(), "", "a b", "ключ", "key:key:", "=".repeat(300)]) {
      expect(encodePageCursor(key)).toMatch(/^[\w-]*$/);
      expect(decodePageCursor(encodePageCursor(key))).toBe(key);
    }
  });

  it("that is absent is the beginning", () => {
    expect(decodePageCursor(null)).toBeUndefined();
    expect(decodePageCursor(undefined)).toBeUndefined();
    expect(decodeIdCursor(null)).toBeUndefined();
  });

  it("that we did not give out is refused", () => {
    for (const cursor of ["", "nonsense", Buffer.from("run:1").toString("base64url"), "🙂"]) {
      expect(() => decodePageCursor(cursor), cursor).toThrow(expect.objectContaining({ code: "CURSOR_INVALID" }));
    }
  });

  it("of a list ordered by id holds a UUID and nothing else", () => {
    const id = newId();
    expect(decodeIdCursor(encodePageCursor(id))).toBe(id);
    for (const key of ["", "1", `${id}'; --`]) {
      expect(() => decodeIdCursor(encodePageCursor(key)), key).toThrow(
        expect.objectContaining({ code: "CURSOR_INVALID" }),
      );
    }
  });
});
