import type { Permission } from "@sba/platform/permissions";
import { logger } from "@sba/platform/log";
import type { Authenticated, Authenticator } from "./authenticate.ts";
import { errors } from "./errors.ts";

/**
 * @policy names what the schema cannot say: an evaluator does, each time that somebody is authenticated, and again when a
 * stream's rights are looked at. What it does not say holds does not hold.
 */

/** Which of these policies hold for a caller. Asked at every request: what takes long it should remember. */
export type PolicyEvaluator = (
  caller: Authenticated,
  policies: ReadonlySet<string>,
  signal: AbortSignal,
) => Iterable<string> | Promise<Iterable<string>>;

const EVALUATION_TIMEOUT_MS = 3_000;

/** A policy is a set of permissions, and holds for who has them all. */
export function policiesByPermissions(table: ReadonlyMap<string, readonly Permission[]>): PolicyEvaluator {
  return ({ permissions }, policies) =>
    [...policies].filter((policy) => table.get(policy)?.every((each) => permissions.has(each)));
}

/** Authenticates, and says which policies hold. @throws POLICIES_UNDECIDED beside what the authenticator throws */
export function withPolicies(
  authenticator: Authenticator,
  evaluate: PolicyEvaluator,
  asked: () => ReadonlySet<string>,
): Authenticator {
  return {
    ...authenticator,
    authenticate: async (authorization) => {
      const principal = await authenticator.authenticate(authorization);
      const policies = asked();
      if (policies.size === 0) return principal;
      const held = await evaluated(evaluate, principal, policies);
      return { ...principal, policies: new Set([...policies].filter((policy) => held.has(policy))) };
    },
  };
}

async function evaluated(
  evaluate: PolicyEvaluator,
  principal: Authenticated,
  policies: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const signal = AbortSignal.timeout(EVALUATION_TIMEOUT_MS);
  try {
    return new Set(await Promise.race([evaluate(principal, policies, signal), failing(signal)]));
  } catch (error) {
    logger.error({ err: error, "tenant.id": principal.tenantId }, "policies could not be evaluated");
    throw errors.POLICIES_UNDECIDED({ cause: error });
  }
}

function failing(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => {
      reject(signal.reason as Error);
    });
  });
}
