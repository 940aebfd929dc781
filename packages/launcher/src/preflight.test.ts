import { createServer, type AddressInfo, type Server } from "node:net";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findProblems, readEnvironment } from "./preflight.ts";

const database = useDatabase({ connect: false });
const redis = useRedis();
let listener: Server;
let takenPort: number;

beforeAll(async () => {
  listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  takenPort = (listener.address() as AddressInfo).port;
});
afterAll(() => {
  listener.close();
});

const problemsOf = async (environment: NodeJS.ProcessEnv): Promise<string[]> => {
  const { config, problems } = readEnvironment(environment);
  return [...problems, ...(await findProblems(config))];
};

test("finds nothing wrong with services that are there", async () => {
  const { admin, app, system } = database().urls;
  expect(
    await problemsOf({
      PORT: "0",
      DATABASE_ADMIN_URL: admin,
      DATABASE_URL: app,
      DATABASE_SYSTEM_URL: system,
      REDIS_URL: redis().url,
    }),
  ).toEqual([]);
});

test("finds a port that is taken, and says what to do", async () => {
  expect(await problemsOf({ PORT: String(takenPort) })).toEqual([
    `PORT: ${takenPort} on 127.0.0.1 is in use: stop what listens there, or set PORT to another (0 picks a free one)`,
  ]);
});

test("finds what cannot be reached beside what is not valid, and repeats no password", async () => {
  const problems = await problemsOf({
    PORT: "many",
    DATABASE_ADMIN_URL: "postgres://owner:secret-word@127.0.0.1:1/sba",
    DATABASE_URL: "mysql://elsewhere",
    REDIS_URL: "redis://:secret-word@127.0.0.1:2",
  });
  expect(problems.map((problem) => problem.slice(0, problem.indexOf(":")))).toEqual([
    "PORT",
    "DATABASE_URL",
    "DATABASE_ADMIN_URL",
    "REDIS_URL",
  ]);
  expect(problems.join()).not.toContain("secret-word");
});

test("finds a database that refuses the password", async () => {
  const url = new URL(database().urls.admin);
  url.password = "wrong";
  expect(await problemsOf({ PORT: "0", DATABASE_ADMIN_URL: url.href })).toEqual([
    expect.stringMatching(/^DATABASE_ADMIN_URL: .*password authentication failed/),
  ]);
});

test("still checks the database when only another variable of it is missing", async () => {
  const problems = await problemsOf({ PORT: "0", DATABASE_URL: "postgres://app@127.0.0.1:1/sba" });
  expect(problems).toEqual([
    expect.stringMatching(/^DATABASE_SYSTEM_URL or DATABASE_ADMIN_URL: /),
    expect.stringMatching(/^DATABASE_URL: the database 127.0.0.1:1\/sba cannot be reached/),
  ]);
});
