import { describe, expect, it } from "vitest";
import { loadConfig } from "./config.ts";
import { egressPolicyOf } from "./egress.ts";
import { checkAddress, checkUrl, isEgressEntry, toRules } from "./egress-policy.ts";
import { ensureAppError } from "./errors.ts";

const METADATA = "169.254.169.254";

function refusalOf(action: () => unknown): string {
  try {
    action();
    return "allowed";
  } catch (error) {
    return ensureAppError(error).code;
  }
}

describe("a policy", () => {
  it("allows the hosts it lists, at their ports, and no other", () => {
    const rules = toRules({ allowedHosts: ["api.example.com", "*.example.org", "exact.example.net:8443"] });
    const allowed = [
      "https://api.example.com/x",
      "https://API.Example.COM./x",
      "https://api.example.com:444",
      "https://a.b.example.org",
      "https://exact.example.net:8443",
    ];
    const refused = [
      "https://example.com",
      "https://xapi.example.com",
      "https://api.example.com.evil.test",
      "https://example.org",
      "https://evilexample.org",
      "https://exact.example.net",
      "https://127.0.0.1",
      "https://[::1]",
    ];
    for (const url of allowed)
      expect(
        refusalOf(() => checkUrl(rules, new URL(url))),
        url,
      ).toBe("allowed");
    for (const url of refused)
      expect(
        refusalOf(() => checkUrl(rules, new URL(url))),
        url,
      ).toBe("EGRESS_REFUSED");
  });

  it("without hosts allows none", () => {
    expect(refusalOf(() => checkUrl(toRules({ allowedHosts: [] }), new URL("https://example.com")))).toBe(
      "EGRESS_REFUSED",
    );
  });

  it("allows http and https only, http only inside, and no credentials in the URL", () => {
    const rules = toRules({ allowedHosts: ["api.example.com", "private:minio"] });
    expect(refusalOf(() => checkUrl(rules, new URL("http://minio:9000/b")))).toBe("allowed");
    for (const url of [
      "http://api.example.com",
      "ftp://api.example.com",
      "file:///etc/passwd",
      "data:text/plain,x",
      "https://user:pw@api.example.com",
      "https://user@api.example.com",
    ]) {
      expect(
        refusalOf(() => checkUrl(rules, new URL(url))),
        url,
      ).toBe("EGRESS_REFUSED");
    }
  });

  it("knows an address in every spelling", () => {
    const rules = toRules({ allowedHosts: ["127.0.0.1"] });
    const spellings = ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1"];
    for (const host of spellings)
      expect(
        refusalOf(() => checkUrl(rules, new URL(`http://${host}/`))),
        host,
      ).toBe("allowed");
    const others = toRules({ allowedHosts: ["10.0.0.1"] });
    for (const host of spellings)
      expect(
        refusalOf(() => checkUrl(others, new URL(`http://${host}/`))),
        host,
      ).toBe("EGRESS_REFUSED");
  });

  it("takes a public name to public addresses only", () => {
    const [rule] = toRules({ allowedHosts: ["api.example.com"] });
    const inside = [
      "127.0.0.1",
      "127.8.8.8",
      "10.0.0.1",
      "172.16.0.1",
      "192.168.1.1",
      "100.64.0.1",
      "0.0.0.0",
      METADATA,
      "224.0.0.1",
      "255.255.255.255",
      "192.0.2.1",
      "198.18.0.1",
      "240.0.0.1",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "::ffff:a9fe:a9fe",
      "::127.0.0.1",
      "64:ff9b::7f00:1",
      "64:ff9b:1::1",
      "2002:7f00:1::",
      "2001::1",
      "fe80::1",
      "fc00::1",
      "fd00:ec2::254",
      "fec0::1",
      "ff02::1",
      "2001:db8::1",
      "not an address",
      "",
    ];
    for (const address of inside)
      expect(
        refusalOf(() => {
          checkAddress(rule!, address);
        }),
        address,
      ).toBe("EGRESS_REFUSED");
    for (const address of ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]) {
      expect(
        refusalOf(() => {
          checkAddress(rule!, address);
        }),
        address,
      ).toBe("allowed");
    }
  });

  it("takes a private name inside, but never to where clouds keep credentials", () => {
    const [rule] = toRules({ allowedHosts: ["private:minio"] });
    for (const address of ["127.0.0.1", "10.0.0.1", "::1", "fd12::1", "100.64.0.1", "93.184.215.14"]) {
      expect(
        refusalOf(() => {
          checkAddress(rule!, address);
        }),
        address,
      ).toBe("allowed");
    }
    for (const address of [METADATA, "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1"]) {
      expect(
        refusalOf(() => {
          checkAddress(rule!, address);
        }),
        address,
      ).toBe("EGRESS_REFUSED");
    }
  });

  it("refuses entries that are no hosts", () => {
    for (const entry of ["https://example.com", "example.com/path", "a b", "*", "", "example.com:port", "*.*.com"]) {
      expect(isEgressEntry(entry), entry).toBe(false);
      expect(() => toRules({ allowedHosts: [entry] }), entry).toThrow("is no host");
    }
  });

  it("trusts the endpoints of the configuration, at their port", () => {
    const config = loadConfig({
      OPENAI_BASE_URL: "http://localhost:11434/v1",
      EGRESS_ALLOWED_HOSTS: "api.example.com, *.example.org",
    });
    const rules = toRules(egressPolicyOf(config));
    for (const url of ["http://localhost:11434/v1/chat", "https://api.example.com", "https://a.example.org"]) {
      expect(
        refusalOf(() => checkUrl(rules, new URL(url))),
        url,
      ).toBe("allowed");
    }
    expect(refusalOf(() => checkUrl(rules, new URL("http://localhost:5432")))).toBe("EGRESS_REFUSED");
  });
});
