import { createContext, useContext, type ReactNode } from "react";
import type { ShellMeQuery } from "../generated/shell/graphql.ts";

export type Me = ShellMeQuery["me"];

/** Those of the API that the console asks about; see `me { permissions }`. */
export type Permission =
  | "tenant:read"
  | "tenant:manage"
  | "member:read"
  | "member:manage"
  | "apikey:manage"
  | "audit:read"
  | "usage:read"
  | "budget:read"
  | "budget:write"
  | "integration:read"
  | "integration:manage"
  | "knowledge:read"
  | "knowledge:write"
  | "agent:read"
  | "agent:manage"
  | "run:read"
  | "run:start"
  | "run:cancel"
  | "run:operate"
  | "toolcall:resolve"
  | "task:read"
  | "note:read"
  | "note:write"
  | "approval:read"
  | "approval:decide"
  | "approval:manage"
  | "workflow:read"
  | "workflow:start"
  | "workflow:manage";

export const MeContext = createContext<Me | undefined>(undefined);

/** Who is signed in. @throws Error outside of the shell. */
export function useMe(): Me {
  const me = useContext(MeContext);
  if (!me) throw new Error("Nobody is signed in outside of the shell.");
  return me;
}

/** Whether the caller may do all of it: what the API would refuse is not offered. */
export function usePermission(...permissions: readonly Permission[]): boolean {
  const held = useMe().permissions;
  return permissions.every((permission) => held.includes(permission));
}

/** Shows what is in it to those who may. */
export function Allowed({ to, children }: { readonly to: Permission; readonly children: ReactNode }) {
  return usePermission(to) ? children : null;
}
