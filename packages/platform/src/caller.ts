import { platformErrors } from "./errors.ts";
import { isPermission, type Permission } from "./permissions.ts";

/** Whose data a unit of work may touch. */
export interface TenantScope {
  /** UUID. */
  readonly tenantId: string;
}

export type PrincipalKind = "USER" | "SERVICE_ACCOUNT" | "API_KEY";

/**
 * Who is asking. Made once at the gateway, stamped into every job and event, and the first parameter of every
 * operation: authority travels as an argument, never as ambient state.
 */
export interface Caller extends TenantScope {
  /** UUID of the user, service account or API key. */
  readonly principalId: string;
  readonly principalKind: PrincipalKind;
  readonly permissions: ReadonlySet<Permission>;
  /** Correlates logs, errors and events of one request. */
  readonly requestId: string;
  /** When the credentials end, in epoch milliseconds; absent for work that goes on after its request. */
  readonly expiresAtMs?: number;
  /** The tenant is suspended, and the permissions are what that leaves: the gateway says so when it refuses. */
  readonly isSuspended?: boolean;
  /** Those of the supergraph's @policy that hold for it: the gateway's own business, no subgraph is told. */
  readonly policies?: ReadonlySet<string>;
}

/** A caller as it travels in a job or an internal token. */
export interface SerializedCaller {
  readonly tenantId: string;
  readonly principalId: string;
  readonly principalKind: PrincipalKind;
  readonly permissions: readonly string[];
  readonly requestId: string;
  readonly expiresAtMs?: number;
}

export function serializeCaller(caller: Caller): SerializedCaller {
  const { tenantId, principalId, principalKind, permissions, requestId, expiresAtMs } = caller;
  return {
    tenantId,
    principalId,
    principalKind,
    permissions: [...permissions],
    requestId,
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}

/** Unknown permissions (of a newer or older deployment) are dropped: a caller can only lose by it. */
export function knownPermissions(permissions: readonly string[]): ReadonlySet<Permission> {
  return new Set(permissions.filter(isPermission));
}

export function deserializeCaller(value: SerializedCaller): Caller {
  return { ...value, permissions: knownPermissions(value.permissions) };
}

/** A row of work that goes on after its request: who started it, and what that principal was allowed then. */
export interface StartedWork {
  readonly tenantId: string;
  readonly startedBy: string;
  readonly startedByKind: string;
  readonly permissions: readonly string[];
  readonly requestId: string;
}

/** The caller on whose behalf such work acts. */
export function callerOfStarter({ tenantId, startedBy, startedByKind, permissions, requestId }: StartedWork): Caller {
  return deserializeCaller({
    tenantId,
    principalId: startedBy,
    principalKind: startedByKind as PrincipalKind,
    permissions,
    requestId,
  });
}

/** The caller, allowed nothing that is not in `permissions`: what is done for somebody on the ground of another's work. */
export function narrowCaller(caller: Caller, permissions: Iterable<string>): Caller {
  const allowed = new Set(permissions);
  return { ...caller, permissions: new Set([...caller.permissions].filter((each) => allowed.has(each))) };
}

export function hasPermission(caller: Caller, permission: Permission): boolean {
  return caller.permissions.has(permission);
}

/** @throws PERMISSION_MISSING naming the permission. */
export function requirePermission(caller: Caller, permission: Permission): void {
  if (!hasPermission(caller, permission)) {
    throw platformErrors.PERMISSION_MISSING({
      message: `The permission ${permission} is missing.`,
      details: { permission },
    });
  }
}
