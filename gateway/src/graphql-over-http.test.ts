import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase } from "@sba/testkit/services";
import { serverAudits } from "graphql-http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, type Served } from "./testing.ts";
import { createWorld } from "./world.testing.ts";

/** The GraphQL-over-HTTP specification, by graphql-http's own audits. */

useDatabase();

let served: Served;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  served = await serve(await createWorld(), "in process");
});
afterAll(() => served.close());

/** Whoever reads by GET says, by a header that no form can send, that it is a program. */
const fetchAsProgram: typeof fetch = (input, init) =>
  fetch(input, { ...init, headers: { "apollo-require-preflight": "1", ...(init?.headers as Record<string, string>) } });

const audits = serverAudits({ url: () => served.gateway.graphqlUrl, fetchFn: fetchAsProgram });
/** Who accepts only application/json is told by the status, too, that a request was wrong: proxies and logs see nothing else. */
const DECLINED = [
  "SHOULD use 200 status code on document parsing failure when accepting application/json",
  "SHOULD use 200 status code on document validation failure when accepting application/json",
  "SHOULD use a status code of 200 on variable coercion failure when accepting application/json",
];
const kept = audits.filter(({ name }) => !DECLINED.includes(name));
const levelOf = (name: string): string => name.split(" ")[0] ?? "";

test("there are 13 things that a server must do", () => {
  expect(audits.filter(({ name }) => levelOf(name) === "MUST")).toHaveLength(13);
  expect(audits.length - kept.length).toBe(DECLINED.length);
});

describe.each(["MUST", "SHOULD", "MAY"])("what a server %s do", (level) => {
  test.each(kept.filter(({ name }) => levelOf(name) === level).map((audit) => [audit.name, audit] as const))(
    "%s",
    async (_name, audit) => {
      const result = await audit.fn();
      expect(result.status === "ok" ? undefined : result.reason).toBeUndefined();
    },
  );
});
