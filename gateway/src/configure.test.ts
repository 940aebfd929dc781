import { loadConfig } from "@sba/platform/config";
import { expect, test } from "vitest";
import { gatewayOptionsOf } from "./configure.ts";
import { DEFAULT_LIMITS } from "./limits.ts";

test("quotas of connections and subscriptions are set by their names, and what is not said stays as it is", () => {
  const { limits } = gatewayOptionsOf(
    loadConfig({ LIMITS: "connectionsPerAddress=8,subscriptionsPerTenant=6,maxDepth=9" }),
  );
  expect(limits).toEqual({
    maxDepth: 9,
    connections: { ...DEFAULT_LIMITS.connections, perAddress: 8 },
    subscriptions: { ...DEFAULT_LIMITS.subscriptions, perTenant: 6 },
  });
});
