import { constants, deflateRawSync } from "node:zlib";
import type { ExecutionResult } from "graphql";

/** One event of a stream: executed once, serialised once, compressed at most once, and given to many. */
export class StreamItem {
  readonly result: ExecutionResult;
  /** Where the stream goes on after this event; absent for streams without cursors. */
  readonly cursor: string | undefined;
  #json: Buffer | undefined;
  #deflated: Buffer | undefined;

  constructor(result: ExecutionResult, cursor: string | undefined) {
    this.result = result;
    this.cursor = cursor;
  }

  /** The result as JSON. */
  get json(): Buffer {
    return (this.#json ??= Buffer.from(JSON.stringify(this.result)));
  }

  /** The JSON as deflate blocks that lean on nothing before them and end at a byte: they may stand in the middle of a message. */
  get deflated(): Buffer {
    return (this.#deflated ??= deflateRawSync(this.json, { finishFlush: constants.Z_SYNC_FLUSH }));
  }
}

/** Items that leave in one write. What a transport makes of them for each of its readers alike is made once. */
export class Batch {
  readonly items: readonly StreamItem[];
  #made: { readonly by: unknown; readonly value: unknown } | undefined;

  constructor(items: readonly StreamItem[]) {
    this.items = items;
  }

  /** What `encode` makes of the items; asked again with the same function it is not made again. */
  encoded<T>(encode: (items: readonly StreamItem[]) => T): T {
    if (this.#made?.by !== encode) this.#made = { by: encode, value: encode(this.items) };
    return this.#made.value as T;
  }
}
