import ipaddr from "ipaddr.js";
import { platformErrors } from "./errors.ts";

/** Who may be called, as data: which hosts, and which addresses a host may turn out to have. */

export interface EgressPolicy {
  /**
   * What EGRESS_ALLOWED_HOSTS says: `api.example.com`, `*.example.com` (not example.com itself), either with `:port`;
   * `private:minio.internal` for a name that may have a private address; `127.0.0.1` or `[::1]` for that address alone.
   */
  readonly allowedHosts: readonly string[];
  /** URLs of the configuration itself (the model endpoint): their host and port are allowed, private or not. */
  readonly trustedUrls?: readonly string[];
}

/** One allowed host. */
export interface EgressRule {
  readonly host: string;
  readonly port: number | undefined;
  /** Covers the names below `host`, not `host`. */
  readonly wildcard: boolean;
  /** May have a private or loopback address, and be spoken to without TLS. */
  readonly mayBePrivate: boolean;
}

const ENTRY = /^(?<private>private:)?(?<wildcard>\*\.)?(?<host>\[[\da-f:.]+\]|[\w.-]+)(?::(?<port>\d{1,5}))?$/i;
const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };
// Even a private name never has one of the rest: link-local is where clouds keep their credentials (169.254.169.254).
const PRIVATE_RANGES = new Set(["private", "loopback", "uniqueLocal", "carrierGradeNat"]);

/** The rules of a policy. Throws an Error naming an entry that is none. */
export function toRules({ allowedHosts, trustedUrls = [] }: EgressPolicy): readonly EgressRule[] {
  return [...allowedHosts.map(parseEntry), ...trustedUrls.map(trustedRule)];
}

/** Whether an entry of EGRESS_ALLOWED_HOSTS can be understood. */
export function isEgressEntry(entry: string): boolean {
  return ENTRY.test(entry);
}

function parseEntry(entry: string): EgressRule {
  const parts = ENTRY.exec(entry)?.groups;
  if (!parts) throw new Error(`${entry} is no host: expected api.example.com, *.example.com, host:443 or private:host`);
  const host = plainHost(parts["host"] ?? "");
  return {
    host,
    port: parts["port"] === undefined ? undefined : Number(parts["port"]),
    wildcard: parts["wildcard"] !== undefined,
    mayBePrivate: parts["private"] !== undefined || ipaddr.isValid(host),
  };
}

function trustedRule(url: string): EgressRule {
  const { hostname, protocol, port } = new URL(url);
  return {
    host: plainHost(hostname),
    port: Number(port) || DEFAULT_PORTS[protocol],
    wildcard: false,
    mayBePrivate: true,
  };
}

/** One spelling: lower case, no brackets, no final dot. */
function plainHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[|\]$/g, "")
    .replace(/\.$/, "");
}

/** The rule that allows a host and port. @throws EGRESS_REFUSED */
export function ruleFor(rules: readonly EgressRule[], host: string, port: number): EgressRule {
  const name = plainHost(host);
  const rule = rules.find((each) => covers(each, name) && (each.port === undefined || each.port === port));
  if (!rule) throw refused(`${name}:${port} is not one of the allowed hosts.`, { host: name, port });
  return rule;
}

function covers({ host, wildcard }: EgressRule, name: string): boolean {
  return wildcard ? name.endsWith(`.${host}`) : name === host;
}

/**
 * The rule that allows a URL. The URL parser has by now turned decimal, octal and hexadecimal spellings of an IPv4
 * address into the usual one (https://url.spec.whatwg.org/#concept-ipv4-parser).
 * @throws EGRESS_REFUSED
 */
export function checkUrl(rules: readonly EgressRule[], url: URL): EgressRule {
  const port = Number(url.port) || DEFAULT_PORTS[url.protocol];
  if (port === undefined) throw refused(`${url.protocol} is not http or https.`, { protocol: url.protocol });
  if (url.username || url.password) throw refused("Credentials do not belong into a URL.", { host: url.hostname });
  const rule = ruleFor(rules, url.hostname, port);
  if (url.protocol === "http:" && !rule.mayBePrivate) {
    throw refused("A public host is called over https only.", { host: url.hostname });
  }
  return rule;
}

/** Whether a connection of this rule may be made to this address. @throws EGRESS_REFUSED */
export function checkAddress(rule: EgressRule, address: string): void {
  const bare = plainHost(address);
  // The very address that an operator wrote down is allowed, whatever it is.
  if (bare === rule.host) return;
  // `process` takes an IPv4 address out of its IPv6 mapping, so that ::ffff:127.0.0.1 is loopback.
  const range = ipaddr.isValid(bare) ? ipaddr.process(bare).range() : "invalid";
  if (range === "unicast" || (rule.mayBePrivate && PRIVATE_RANGES.has(range))) return;
  // The address is not told: it would map the inside of the network to whoever may name hosts.
  throw refused(`${rule.host} does not have a public address.`, { host: rule.host });
}

function refused(message: string, details: Readonly<Record<string, unknown>>) {
  return platformErrors.EGRESS_REFUSED({ message, details });
}
