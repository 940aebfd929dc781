import { platformErrors } from "./errors.ts";
import { isUuid } from "./ids.ts";

/** Keyset pages over UUIDv7 ids, newest first: a page costs the same wherever it is, and never repeats a row. */

export const MAX_PAGE_SIZE = 100;

export interface PageRequest {
  /** 1 to 100. */
  readonly first: number;
  /** The cursor of the row before the page. */
  readonly after?: string | null | undefined;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly hasNextPage: boolean;
}

/** Of `first + 1` rows read, the page. */
export function toPage<Item>(rows: readonly Item[], first: number): Page<Item> {
  return { items: rows.slice(0, first), hasNextPage: rows.length > first };
}

/** The cursor of a row in a list ordered by id. */
export function encodePageCursor(key: string): string {
  return Buffer.from(`key:${key}`).toString("base64url");
}

/** The key in a cursor. @throws CURSOR_INVALID */
export function decodePageCursor(cursor: string | null | undefined): string | undefined {
  if (cursor === null || cursor === undefined) return undefined;
  const text = Buffer.from(cursor, "base64url").toString();
  if (!text.startsWith("key:")) throw platformErrors.CURSOR_INVALID();
  return text.slice("key:".length);
}

/** The UUID in the cursor of a list ordered by id. @throws CURSOR_INVALID */
export function decodeIdCursor(cursor: string | null | undefined): string | undefined {
  const key = decodePageCursor(cursor);
  if (key !== undefined && !isUuid(key)) throw platformErrors.CURSOR_INVALID();
  return key;
}
