import { describe, expect, it } from "vitest";
import { hashPassword, verifyPassword } from "./password.ts";

const CHEAP = { N: 2, r: 1, p: 1 };

describe("passwords", () => {
  it("are stored with their own salt and the cost, and verified by them", async () => {
    expect(await hashPassword("correct horse")).toMatch(/^scrypt\$32768\$8\$3\$[\w-]{22}\$[\w-]{43}$/);
    const [a, b] = await Promise.all([hashPassword("correct horse", CHEAP), hashPassword("correct horse", CHEAP)]);
    expect(a).not.toBe(b);
    expect(await verifyPassword("correct horse", a)).toBe(true);
    expect(await verifyPassword("correct horsf", a)).toBe(false);
  });

  it("go on being verified at the cost by which they were stored", async () => {
    // scrypt("pleaseletmein", "SodiumChloride", N=16384, r=8, p=1), the first 32 bytes: RFC 7914 section 12.
    const salt = Buffer.from("SodiumChloride").toString("base64url");
    const hash = Buffer.from("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2", "hex").toString(
      "base64url",
    );
    expect(await verifyPassword("pleaseletmein", `scrypt$16384$8$1$${salt}$${hash}`)).toBe(true);
  });

  it("are the same however an accented letter was composed", async () => {
    expect(await verifyPassword("cafe\u0301 au lait", await hashPassword("caf\u00e9 au lait", CHEAP))).toBe(true);
  });

  it("are never right for who has none, after the same work", async () => {
    const stored = await hashPassword("x");
    const timeOf = async (hash: string | undefined): Promise<number> => {
      const start = process.hrtime.bigint();
      expect(await verifyPassword("y", hash)).toBe(false);
      return Number(process.hrtime.bigint() - start);
    };
    // Not hashing would be thousands of times as fast: a factor of ten is far from both.
    expect(await timeOf(undefined)).toBeGreaterThan((await timeOf(stored)) / 10);
  });
});
