import type { ApiError } from "./errors.ts";
import { changeable, type Changeable, type Observable } from "./observable.ts";

/** How live what is shown is: for a badge, a banner, a spinner. */

export type TransportName = "websocket" | "sse" | "polling";

export interface ConnectionState {
  /**
   * - `idle`: nothing is listened to.
   * - `connecting`: for the first time.
   * - `connected`: what happens is heard.
   * - `reconnecting`: it was lost; nothing is, and it is tried again at `retryAt`.
   * - `offline`: the machine has no network; it is tried again when it has.
   */
  readonly status: "idle" | "connecting" | "connected" | "reconnecting" | "offline";
  readonly transport: TransportName | undefined;
  /** Failed attempts since it was last connected. */
  readonly attempt: number;
  readonly retryAt: Date | undefined;
  /** Why it was lost. */
  readonly error: ApiError | undefined;
}

const IDLE: ConnectionState = {
  status: "idle",
  transport: undefined,
  attempt: 0,
  retryAt: undefined,
  error: undefined,
};
export const CONNECTING: ConnectionState = { ...IDLE, status: "connecting" };

/** The one to show when several streams differ: the worst. */
const WORST_FIRST: readonly ConnectionState["status"][] = [
  "offline",
  "reconnecting",
  "connecting",
  "connected",
  "idle",
];

export interface Connections extends Observable<ConnectionState> {
  /** The state of one more stream, until it is ended. */
  open(): Changeable<ConnectionState> & { end(): void };
}

export function openConnections(): Connections {
  const all = changeable(IDLE);
  const streams = new Set<Observable<ConnectionState>>();
  const update = (): void => {
    const states = [...streams].map((stream) => stream.get());
    const worst = WORST_FIRST.find((status) => states.some((state) => state.status === status));
    all.set(states.find(({ status }) => status === worst) ?? IDLE);
  };
  return {
    get: all.get,
    subscribe: all.subscribe,
    open: () => {
      const own = changeable<ConnectionState>(CONNECTING);
      streams.add(own);
      const unsubscribe = own.subscribe(update);
      update();
      return {
        ...own,
        end: () => {
          unsubscribe();
          own.set(IDLE);
          streams.delete(own);
          update();
        },
      };
    },
  };
}
