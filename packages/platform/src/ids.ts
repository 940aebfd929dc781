import { randomFillSync } from "node:crypto";
import { platformErrors } from "./errors.ts";

/** The prefixes of public ids. Inside, an id is a UUID; outside it is `<prefix>_<26 characters>`. */
export const ID_PREFIXES = {
  Tenant: "ten",
  Principal: "prn",
  Member: "mem",
  ApiKey: "key",
  Session: "ses",
  AuditEntry: "aud",
  Collection: "col",
  Document: "doc",
  Chunk: "chk",
  Ingestion: "ing",
  Upload: "upl",
  Agent: "agt",
  AgentVersion: "agv",
  Thread: "thr",
  Message: "msg",
  Run: "run",
  DeadLetter: "dlt",
  Step: "stp",
  ToolCall: "tcl",
  WebhookEndpoint: "whk",
  Approval: "apr",
  Artifact: "art",
  Task: "tsk",
  Note: "nte",
  Workflow: "wfl",
  WorkflowVersion: "wfv",
  WorkflowRun: "wfr",
  Budget: "bud",
} as const;

export type IdType = keyof typeof ID_PREFIXES;

// Crockford's base 32 (https://www.crockford.com/base32.html), lower case: no i, l, o, u; safe in URLs and when read aloud.
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LENGTH = 26;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const PUBLIC_ID = /^([a-z]{3})_([0-7][0-9a-hjkmnp-tv-z]{25})$/;
const TYPE_BY_PREFIX = new Map<string, IdType>(
  Object.entries(ID_PREFIXES).map(([type, prefix]) => [prefix, type as IdType]),
);

const COUNTER_MAX = 0xfff;
/** A counter starts in its lower half, so that it has room within one millisecond. */
const COUNTER_START_MAX = 0x7ff;
let lastMs = 0;
let counter = 0;

/** Asking for random bytes costs more than the rest of an id: they are asked for by the page, and each is used once. */
const RANDOM = Buffer.allocUnsafeSlow(4_096);
let used = RANDOM.length;

/** Good until the next call. */
function takeRandom(bytes: number): Buffer {
  if (used + bytes > RANDOM.length) {
    randomFillSync(RANDOM);
    used = 0;
  }
  used += bytes;
  return RANDOM.subarray(used - bytes, used);
}

/** Good for ids that nobody may guess the next of, and for no secret: the page stays in memory. */
export function randomHex(bytes: number): string {
  return takeRandom(bytes).toString("hex");
}

/** Moves the clock of ids on: they are ordered as they were made, within a millisecond and when the clock is set back, too. */
function tick(): void {
  const nowMs = Date.now();
  if (nowMs > lastMs) {
    lastMs = nowMs;
    counter = takeRandom(2).readUInt16BE() & COUNTER_START_MAX;
  } else if (counter < COUNTER_MAX) {
    counter += 1;
  } else {
    lastMs += 1;
    counter = 0;
  }
}

/**
 * A new UUIDv7 (RFC 9562 section 5.7), in this process greater than every one before (section 6.2, method 1: a counter in
 * rand_a): primary keys grow at one end, and lists by id are in the order of creation.
 */
export function newId(): string {
  tick();
  const bytes = takeRandom(16);
  bytes.writeUIntBE(lastMs, 0, 6);
  bytes.writeUInt16BE(0x7000 | counter, 6);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** When an id was made: its first 48 bits are the milliseconds since 1970. */
export function createdAtOf(uuid: string): Date {
  return new Date(Number.parseInt(uuid.replaceAll("-", "").slice(0, 12), 16));
}

/**
 * A new id that is greater than this one, which another process may have made by a clock that is ahead: for rows whose order is
 * that of their ids.
 */
export function newIdAfter(id: string): string {
  lastMs = Math.max(lastMs, Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16));
  // The next tick of a full counter is a new millisecond: what the other process counted does not matter.
  counter = COUNTER_MAX;
  return newId();
}

export function isUuid(value: string): boolean {
  return UUID.test(value);
}

/** The public form of an id: `encodeId("Run", uuid)` is `run_...`. */
export function encodeId(type: IdType, uuid: string): string {
  let rest = BigInt(`0x${uuid.replaceAll("-", "")}`);
  let encoded = "";
  for (let i = 0; i < ENCODED_LENGTH; i++) {
    encoded = ALPHABET[Number(rest & 31n)]! + encoded;
    rest >>= 5n;
  }
  return `${ID_PREFIXES[type]}_${encoded}`;
}

/** The type and UUID of a public id, or undefined when it is not one of ours. */
export function parseId(id: string): { readonly type: IdType; readonly uuid: string } | undefined {
  const match = PUBLIC_ID.exec(id);
  const type = match && TYPE_BY_PREFIX.get(match[1]!);
  if (!match || !type) return undefined;
  let value = 0n;
  for (const character of match[2]!) value = (value << 5n) | BigInt(ALPHABET.indexOf(character));
  const hex = value.toString(16).padStart(32, "0");
  return {
    type,
    uuid: `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`,
  };
}

/** The UUID of a public id of one type. @throws ID_INVALID when it is not of that type. */
export function decodeId(type: IdType, id: string): string {
  const parsed = parseId(id);
  if (parsed?.type !== type) {
    throw platformErrors.ID_INVALID({
      message: `An id of the form ${ID_PREFIXES[type]}_... is expected.`,
      details: { expected: type },
    });
  }
  return parsed.uuid;
}
