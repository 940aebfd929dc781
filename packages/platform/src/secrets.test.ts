import { beforeAll, describe, expect, it, vi } from "vitest";
import { deriveKey, open, seal, secretErrors, signLink, useSecretKey, verifyLink } from "./secrets.ts";

const NEW_KEY = "the new key of the tests, 32 characters and more";
const OLD_KEY = "the old key of the tests, 32 characters and more";
const FOREIGN_KEY = "the key of some other deployment, 32 characters and more";
const IN_AN_HOUR = new Date(Date.now() + 3_600_000);

type Secrets = typeof import("./secrets.ts");

/** A process of its own: the module, loaded afresh, with other keys. */
async function processWith(...keys: string[]): Promise<Secrets> {
  vi.resetModules();
  const secrets = await import("./secrets.ts");
  secrets.useSecretKey(keys);
  return secrets;
}

/** The text with one bit of its bytes flipped. */
function flipBit(text: string, byte: number): string {
  const bytes = Buffer.from(text, "base64url");
  const index = (byte + bytes.length) % bytes.length;
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  return bytes.toString("base64url");
}

function codeOf(action: () => unknown): unknown {
  try {
    action();
    return "nothing was thrown";
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
}

describe("with no key set", () => {
  it("refuses to derive, seal, sign or open anything", async () => {
    vi.resetModules();
    const fresh = await import("./secrets.ts");
    expect(() => fresh.deriveKey("p", 32)).toThrow("useSecretKey was not called");
    expect(() => fresh.deriveKeys("p", 32)).toThrow("useSecretKey was not called");
    expect(() => fresh.seal("p", "x")).toThrow("useSecretKey was not called");
    expect(() => fresh.signLink("p", {}, IN_AN_HOUR)).toThrow("useSecretKey was not called");
  });

  it("refuses a short key and an empty list", async () => {
    vi.resetModules();
    const fresh = await import("./secrets.ts");
    expect(() => {
      fresh.useSecretKey("too short");
    }).toThrow("at least 32 characters");
    expect(() => {
      fresh.useSecretKey([]);
    }).toThrow("at least 32 characters");
    expect(() => {
      fresh.useSecretKey([NEW_KEY, "too short"]);
    }).toThrow("at least 32 characters");
  });
});

describe("with a key", () => {
  beforeAll(() => {
    useSecretKey(NEW_KEY);
  });

  it("takes the same key twice and refuses another", () => {
    useSecretKey(NEW_KEY);
    expect(() => {
      useSecretKey(OLD_KEY);
    }).toThrow("called twice");
    expect(() => {
      useSecretKey([NEW_KEY, OLD_KEY]);
    }).toThrow("called twice");
  });

  it("derives what HKDF-SHA256 derives, so that keys survive a new release", () => {
    // Computed with: openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt key:"$KEY" -kdfopt salt:sba-agentic -kdfopt info:key/16/internal-token HKDF
    expect(deriveKey("internal-token", 16).toString("hex")).toBe("5ebeba9c331d059c11737893565ff6c4");
  });

  it("derives unrelated keys for other purposes and other lengths", () => {
    const key = deriveKey("internal-token", 32);
    expect(deriveKey("internal-token", 32)).toEqual(key);
    expect(deriveKey("database-role", 32)).not.toEqual(key);
    expect(deriveKey("internal-token", 16)).not.toEqual(key.subarray(0, 16));
  });

  it("opens what it sealed, text and bytes, empty ones too", () => {
    for (const value of ["", "hunter2", "pässwörd ☃", "x".repeat(100_000)]) {
      expect(open("connection", seal("connection", value)).toString()).toBe(value);
    }
    const bytes = Uint8Array.from([0, 255, 1, 254]);
    expect(Uint8Array.from(open("connection", seal("connection", bytes)))).toEqual(bytes);
  });

  it("never seals a value twice in the same way, nor shows it", () => {
    const sealed = seal("connection", "hunter2");
    expect(sealed).toMatch(/^[\w-]+$/);
    expect(seal("connection", "hunter2")).not.toBe(sealed);
    expect(Buffer.from(sealed, "base64url").includes("hunter2")).toBe(false);
  });

  it("refuses to open a value for another purpose, another owner, or with any bit changed", () => {
    const sealed = seal("connection", "hunter2", { associatedData: "row 1" });
    const refused = "SEALED_VALUE_INVALID";
    expect(open("connection", sealed, { associatedData: "row 1" }).toString()).toBe("hunter2");
    expect(codeOf(() => open("webhook", sealed, { associatedData: "row 1" }))).toBe(refused);
    expect(codeOf(() => open("connection", sealed, { associatedData: "row 2" }))).toBe(refused);
    expect(codeOf(() => open("connection", sealed))).toBe(refused);
    for (let byte = 0; byte < Buffer.from(sealed, "base64url").length; byte++) {
      expect(codeOf(() => open("connection", flipBit(sealed, byte), { associatedData: "row 1" }))).toBe(refused);
    }
  });

  it("refuses to open what is too short to be anything", () => {
    const sealed = Buffer.from(seal("connection", ""), "base64url");
    for (const length of [0, 1, 5, 17, sealed.length - 1]) {
      const cut = sealed.subarray(0, length).toString("base64url");
      expect(codeOf(() => open("connection", cut))).toBe("SEALED_VALUE_INVALID");
    }
  });

  it("verifies the links it signed, and gives back their payload", () => {
    const payload = { artifactId: "art_1", nested: [1, null, "é"] };
    const token = signLink("artifact", payload, IN_AN_HOUR);
    expect(token).toMatch(/^[\w-]+\.[\w-]+$/);
    expect(verifyLink("artifact", token)).toEqual(payload);
  });

  it("refuses a link of another purpose", () => {
    const token = signLink("artifact", { id: 1 }, IN_AN_HOUR);
    expect(codeOf(() => verifyLink("approval", token))).toBe("LINK_INVALID");
  });

  it("refuses a link in which any bit of body or signature was changed", () => {
    const [body = "", mac = ""] = signLink("artifact", { id: 1 }, IN_AN_HOUR).split(".");
    for (let byte = 0; byte < Buffer.from(body, "base64url").length; byte++) {
      expect(codeOf(() => verifyLink("artifact", `${flipBit(body, byte)}.${mac}`))).toBe("LINK_INVALID");
    }
    for (let byte = 0; byte < 32; byte++) {
      expect(codeOf(() => verifyLink("artifact", `${body}.${flipBit(mac, byte)}`))).toBe("LINK_INVALID");
    }
  });

  it("refuses every other spelling of a valid link", () => {
    const token = signLink("artifact", { id: 1 }, IN_AN_HOUR);
    for (const other of [`${token}=`, `${token}.`, `${token}.x`, ` ${token}`, token.replace(".", ".."), `${token}A`]) {
      expect(
        codeOf(() => verifyLink("artifact", other)),
        other,
      ).toBe("LINK_INVALID");
    }
  });

  it("refuses what is no link at all", () => {
    for (const text of ["", ".", "a.b", "null", "x".repeat(10_000), "AQ.AQ"]) {
      expect(codeOf(() => verifyLink("artifact", text))).toBe("LINK_INVALID");
    }
  });

  it("says that a link has expired, from the millisecond on, and only to who holds a true one", () => {
    const expiresAt = new Date(Date.now() + 60_000);
    const token = signLink("artifact", { id: 1 }, expiresAt);
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      vi.setSystemTime(expiresAt.getTime() - 1);
      expect(verifyLink("artifact", token)).toEqual({ id: 1 });
      vi.setSystemTime(expiresAt);
      expect(codeOf(() => verifyLink("artifact", token))).toBe("LINK_EXPIRED");
      expect(codeOf(() => verifyLink("approval", token))).toBe("LINK_INVALID");
    } finally {
      vi.useRealTimers();
    }
  });

  it("answers forged and expired links with 403", () => {
    expect(secretErrors.LINK_INVALID().kind).toBe("permission_denied");
    expect(secretErrors.LINK_EXPIRED().kind).toBe("permission_denied");
  });
});

describe("across a rotation", () => {
  it("still opens and verifies what the old key made, and signs with the new one", async () => {
    const before = await processWith(OLD_KEY);
    const sealed = before.seal("connection", "hunter2");
    const link = before.signLink("artifact", { id: 1 }, IN_AN_HOUR);
    const [oldDerived] = before.deriveKeys("internal-token", 32);

    const during = await processWith(NEW_KEY, OLD_KEY);
    expect(during.open("connection", sealed).toString()).toBe("hunter2");
    expect(during.verifyLink("artifact", link)).toEqual({ id: 1 });
    expect(during.deriveKeys("internal-token", 32)).toEqual([deriveKey("internal-token", 32), oldDerived]);
    const resealed = during.seal("connection", "hunter2");

    const after = await processWith(NEW_KEY);
    expect(after.open("connection", resealed).toString()).toBe("hunter2");
    expect(codeOf(() => after.open("connection", sealed))).toBe("SEALED_VALUE_INVALID");
    expect(codeOf(() => after.verifyLink("artifact", link))).toBe("LINK_INVALID");
  });

  it("refuses what another deployment signed", async () => {
    const foreign = await processWith(FOREIGN_KEY);
    const link = foreign.signLink("artifact", { id: 1 }, IN_AN_HOUR);
    const ours = await processWith(NEW_KEY);
    expect(codeOf(() => ours.verifyLink("artifact", link))).toBe("LINK_INVALID");
  });
});
