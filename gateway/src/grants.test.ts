import { newId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { linkInProcess } from "./forward.ts";
import { openGrants, type GrantsSource, type Revocation } from "./grants.ts";
import type { Member } from "./identity.testing.ts";
import { createWorld, type World } from "./world.testing.ts";

useDatabase();

let world: World;
let source: GrantsSource;
let heard: (Revocation | undefined)[];
let asked: number;

const open = (rememberedMs?: number) =>
  openGrants(
    linkInProcess(world.subgraphs.find(({ name }) => name === "identity")!),
    rememberedMs === undefined ? {} : { rememberedMs },
  );
const grantsOf = (member: Member, sessionId?: string) =>
  source.ofPrincipal(member.tenantId, member.principalId, sessionId);
const permissionsOf = async (member: Member) => [...((await grantsOf(member))?.permissions ?? [])];

beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
});
beforeEach(async () => {
  [heard, asked] = [[], 0];
  world.beforeGrants = () => {
    asked++;
    return Promise.resolve();
  };
  source = await open();
  source.onRevoked((revocation) => heard.push(revocation));
});
afterEach(() => source.close());

test("are remembered, and forgotten for those whom a revocation names, and nobody else", async () => {
  const [one, colleague, stranger] = [world.join(["run:read"]), world.join(["run:read"]), world.join(["run:read"])];
  const members = [one, world.join(["run:read"], { tenantId: one.tenantId }), colleague, stranger];
  const askAll = async () => {
    const before = asked;
    for (const member of members) await grantsOf(member);
    return asked - before;
  };
  expect([await askAll(), await askAll()]).toEqual([4, 0]);
  world.setPermissions(one, []);
  await eventually(() => heard.length === 1);
  expect(await permissionsOf(one)).toEqual([]);
  expect(await askAll()).toBe(0);
  world.setSuspended(one, true);
  await eventually(() => heard.length === 2);
  expect(await askAll()).toBe(2);
  expect(await grantsOf(one)).toMatchObject({ isSuspended: true });
});

test("are never older than a revocation that was heard before they came", async () => {
  const member = world.join(["run:read", "audit:read"]);
  const [reached, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  world.beforeGrants = () => {
    world.beforeGrants = () => Promise.resolve();
    reached.resolve();
    return release.promise;
  };
  const answers = [grantsOf(member), grantsOf(member)];
  await reached.promise;
  // Identity has read what held until now; what it answers is late.
  world.setPermissions(member, ["run:read"]);
  await eventually(() => heard.length === 1);
  release.resolve();
  for (const answer of answers) expect([...((await answer)?.permissions ?? [])]).toEqual(["run:read"]);
});

test("do not wait for the revocations of others", async () => {
  const [member, other] = [world.join(["run:read"]), world.join(["run:read"])];
  const [reached, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let questions = 0;
  world.beforeGrants = () => {
    questions++;
    reached.resolve();
    return release.promise;
  };
  const answer = grantsOf(member);
  await reached.promise;
  world.setPermissions(other, []);
  await eventually(() => heard.length === 1);
  release.resolve();
  await answer;
  expect(questions).toBe(1);
});

test("of an API key are forgotten with its principal", async () => {
  const key = world.join(["usage:read"], { apiKey: true });
  const ask = () => source.ofApiKey(key.apiKey ?? "");
  expect(await ask()).toMatchObject({ principalKind: "API_KEY" });
  world.setPermissions(key, undefined);
  await eventually(() => heard.length === 1);
  expect(await ask()).toBeUndefined();
});

test("of one session end with it, and another's go on", async () => {
  const member = world.join(["run:read"]);
  const [one, other] = [newId(), newId()];
  expect(await Promise.all([grantsOf(member, one), grantsOf(member, other)])).not.toContain(undefined);
  world.endSession(member, one);
  await eventually(() => heard.length === 1);
  expect(await grantsOf(member, one)).toBeUndefined();
  expect(await grantsOf(member, other)).toBeDefined();
});

test("are looked at again after a while, when a revocation was not heard", async () => {
  await source.close();
  source = await open(1);
  const member = world.join(["run:read"]);
  expect(await permissionsOf(member)).toEqual(["run:read"]);
  world.setPermissions(member, [], "untold");
  await eventually(async () => (await permissionsOf(member)).length === 0);
  expect(heard).toEqual([]);
});
