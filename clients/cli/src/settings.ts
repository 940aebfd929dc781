import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { CommandError, EXIT } from "./failure.ts";

/** Where the API is and who asks: options before the environment, before a login, before a system that runs here. */

/** What the API counts its requests under, as in package.json. */
export const CLIENT = { name: "@sba/cli", version: "0.1.0" } as const;

export const ROLES = ["owner", "operator", "viewer", "partner"] as const;
type Role = (typeof ROLES)[number];

export interface GlobalOptions {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  readonly readyFile?: string | undefined;
  readonly as?: string | undefined;
}

export interface Target {
  readonly url: string;
  /** Given, or of a development system; undefined: whoever is logged in. */
  readonly token: string | undefined;
}

interface Ready {
  readonly graphqlUrl: string;
  readonly tenants: readonly { readonly tokens: Readonly<Partial<Record<Role, string>>> }[];
}

const DEFAULT_URL = "http://127.0.0.1:4000/graphql";
/** Where `npm start` leaves it. */
const READY_FILE = ".data/ready.json";

/** Of a login: `$XDG_CONFIG_HOME/sba/credentials.json`. */
export function credentialsFile(): string {
  return join(process.env["XDG_CONFIG_HOME"] || join(homedir(), ".config"), "sba", "credentials.json");
}

/** @throws CommandError for a ready file that is not there, or holds no such token. */
export function findTarget(options: GlobalOptions, loggedInAt: string | undefined): Target {
  const token = options.token ?? process.env["SBA_TOKEN"];
  const url = options.url ?? process.env["SBA_URL"];
  const asked = options.readyFile ?? (options.as === undefined ? undefined : READY_FILE);
  const isKnown = url !== undefined || token !== undefined || loggedInAt !== undefined;
  const file = asked ?? (!isKnown && existsSync(READY_FILE) ? READY_FILE : undefined);
  if (file === undefined || token !== undefined)
    return { token, url: checkUrl(url ?? loggedInAt ?? readyUrl(file) ?? DEFAULT_URL) };
  const role = roleOf(options.as ?? "operator");
  const ready = readReady(file);
  const found = ready.tenants[0]?.tokens[role];
  if (found === undefined) throw new CommandError(`${file} holds no token of the role ${role}.`, EXIT.credentials);
  return { token: found, url: checkUrl(url ?? ready.graphqlUrl) };
}

function readyUrl(file: string | undefined): string | undefined {
  const found = file ?? (existsSync(READY_FILE) ? READY_FILE : undefined);
  return found === undefined ? undefined : readReady(found).graphqlUrl;
}

function readReady(file: string): Ready {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Ready;
  } catch {
    throw new CommandError(`${resolve(file)} cannot be read: is the system running?`, EXIT.usage);
  }
}

function roleOf(text: string): Role {
  const role = ROLES.find((each) => each === text);
  if (!role) throw new CommandError(`--as is one of ${ROLES.join(", ")}, not "${text}".`, EXIT.usage);
  return role;
}

function checkUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new CommandError(`"${text}" is no http(s) address.`, EXIT.usage);
  return text;
}
