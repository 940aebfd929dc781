import { useSyncExternalStore } from "react";
import { API_URL } from "../data/url.ts";
import { openSession, type SessionState } from "./session.ts";

/** Of this page: there is one. */
export const session = openSession(API_URL);

export function useSession(): SessionState {
  return useSyncExternalStore(session.subscribe, session.get);
}
