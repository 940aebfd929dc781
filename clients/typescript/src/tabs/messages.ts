import type { GraphQLFormattedError } from "graphql";
import type { TransportName } from "../connection.ts";
import type { StreamRequest, StreamResult } from "../transport/transport.ts";

/** What tabs say to one another. Every tab hears everything, and keeps what is addressed to it. */

/** From a tab to the one that leads. */
export type ToLeader =
  | { readonly type: "subscribe"; readonly id: string; readonly request: StreamRequest }
  | { readonly type: "cancel"; readonly id: string }
  /** Is there anybody? */
  | { readonly type: "ask" };

/** From the one that leads. */
export type FromLeader =
  /** Said when it begins to lead, and when it is asked. */
  | { readonly type: "leading" }
  | { readonly type: "open"; readonly id: string; readonly transport: TransportName }
  | { readonly type: "result"; readonly id: string; readonly result: StreamResult }
  | { readonly type: "complete"; readonly id: string }
  | { readonly type: "error"; readonly id: string; readonly errors: readonly GraphQLFormattedError[] };

export interface Envelope {
  readonly from: string;
  /** A tab; absent: whoever leads, or everybody. */
  readonly to?: string;
  readonly message: ToLeader | FromLeader;
}

/** A BroadcastChannel, of browsers or of Node. */
export interface Channel {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

/** Web Locks, of browsers or of Node. */
export interface LockManager {
  request<T>(
    name: string,
    options: { readonly signal?: AbortSignal; readonly steal?: boolean },
    work: () => Promise<T>,
  ): Promise<T>;
}
