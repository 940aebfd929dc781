import { accessSync, chmodSync, constants, mkdtempSync, statfsSync } from "node:fs";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";

/** Where Linux keeps files in memory. */
const MEMORY = "/dev/shm";
/** Several times what the databases of one run have at once. */
const ROOM_BYTES = 2 ** 31;

/**
 * A new folder for a cluster of Postgres that nobody misses, in memory where there is room: a database is 658 files and a cluster 970,
 * and ext4 without a journal looks at every file that was deleted in the last seconds before it makes another.
 */
export function makeClusterFolder(): string {
  const folder = mkdtempSync(join(hasRoomInMemory() ? MEMORY : tmpdir(), "sba-test-"));
  // The database's user is not this one when this one is root.
  chmodSync(folder, 0o711);
  return folder;
}

/** A container may have no such folder, or a small one. */
function hasRoomInMemory(): boolean {
  try {
    accessSync(MEMORY, constants.W_OK);
    const { bavail, bsize } = statfsSync(MEMORY);
    return Math.min(bavail * bsize, freemem()) > ROOM_BYTES;
  } catch {
    return false;
  }
}
