import { existsSync } from "node:fs";
import { join } from "node:path";
import { createClient, MeDocument } from "@sba/client";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { describe, expect, test } from "vitest";
import { makeDataDir, npmStart } from "./npm-start.ts";

describe("npm start with DATABASE_ADMIN_URL and REDIS_URL", () => {
  const database = useDatabase({ connect: false, migrated: false });
  const redis = useRedis();

  test("runs on them instead of the embedded parts", async () => {
    const own = await makeDataDir();
    const running = npmStart({
      dataDir: own.dataDir,
      env: {
        DATABASE_ADMIN_URL: database().urls.admin,
        REDIS_URL: redis().url,
        SECRET_KEY: "a-secret-key-that-only-tests-know",
      },
    });
    const { graphqlUrl, tenants } = await running.ready();
    const client = createClient({ url: graphqlUrl, token: tenants[1]!.tokens.owner });
    expect((await client.query(MeDocument)).me?.tenant?.name).toBe(tenants[1]!.name);
    await client.close();
    expect(existsSync(join(own.dataDir, "postgres"))).toBe(false);
    const { rows } = await database().owner.query(
      "SELECT count(*)::int AS documents FROM knowledge.document WHERE status = 'READY'",
    );
    expect(rows).toEqual([{ documents: 2_800 }]);
    expect(await redis().size()).toBeGreaterThan(0);
    running.kill("SIGTERM");
    expect(await running.ended()).toBe(0);
    await own.remove();
  });
});
