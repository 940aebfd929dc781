import type { TenantScope } from "@sba/platform/caller";

/** How many connections and subscriptions this gateway holds for one tenant, one principal and one address. */

export interface Quotas {
  readonly connections: Counter;
  readonly subscriptions: Counter;
}

export interface QuotaLimits {
  readonly perTenant: number;
  readonly perPrincipal: number;
  readonly perAddress: number;
}

export interface Holder extends TenantScope {
  readonly principalId: string;
}

export interface Counter {
  /** False when the address has all that it may have. */
  takeForAddress(address: string): boolean;
  giveForAddress(address: string): void;
  /** False when the tenant or the principal has all that it may have. */
  takeFor(holder: Holder): boolean;
  giveFor(holder: Holder): void;
}

export function openCounter({ perTenant, perPrincipal, perAddress }: QuotaLimits): Counter {
  const held = new Map<string, number>();
  const of = (key: string): number => held.get(key) ?? 0;
  const add = (key: string, change: number): void => {
    const count = of(key) + change;
    if (count > 0) held.set(key, count);
    else held.delete(key);
  };
  const tenant = ({ tenantId }: Holder): string => `tenant/${tenantId}`;
  const principal = ({ tenantId, principalId }: Holder): string => `principal/${tenantId}/${principalId}`;
  return {
    takeForAddress: (address) => {
      if (of(`address/${address}`) >= perAddress) return false;
      add(`address/${address}`, 1);
      return true;
    },
    giveForAddress: (address) => {
      add(`address/${address}`, -1);
    },
    takeFor: (holder) => {
      if (of(tenant(holder)) >= perTenant || of(principal(holder)) >= perPrincipal) return false;
      add(tenant(holder), 1);
      add(principal(holder), 1);
      return true;
    },
    giveFor: (holder) => {
      add(tenant(holder), -1);
      add(principal(holder), -1);
    },
  };
}

const LEAST_RETRY_MS = 1_000;
const RETRY_SPREAD_MS = 4_000;

/** When to come back: spread, so that those who were refused together do not return together. */
export function retryAfterMs(): number {
  return LEAST_RETRY_MS + Math.floor(Math.random() * RETRY_SPREAD_MS);
}
