import type { DocumentNode, FormattedExecutionResult } from "graphql";
import type { TransportName } from "../connection.ts";

/** One way to listen to a subscription. What was heard, and where to go on, is not its concern: see follow.ts. */

export interface StreamRequest {
  readonly document: DocumentNode;
  readonly variables: Readonly<Record<string, unknown>>;
}

export type StreamResult = FormattedExecutionResult<Record<string, unknown>>;

export interface StreamOptions {
  readonly signal: AbortSignal;
  /** Called once the server listens to us, and by which transport. */
  readonly onOpen: (transport: TransportName) => void;
}

export interface Transport {
  /** Results until the stream completes. @throws ApiError when it ends in another way, unless by its signal. */
  stream(request: StreamRequest, options: StreamOptions): AsyncIterableIterator<StreamResult, undefined>;
  /** Finds out soon whether a connection that looks open still is: the machine may have slept. */
  check(): void;
  close(): Promise<void>;
}

/** A transport and its place in the ladder. */
export interface Rung extends Transport {
  readonly name: TransportName;
  /** Whether it can carry this subscription at all. */
  carries(request: StreamRequest): boolean;
}
