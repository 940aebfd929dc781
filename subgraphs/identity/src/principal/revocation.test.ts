import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import type { Caller } from "@sba/platform/caller";
import { newId } from "@sba/platform/ids";
import { pubsub } from "@sba/platform/pubsub";
import { useSecretKey } from "@sba/platform/secrets";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createApiKey, revokeApiKey } from "../api-key/api-key.ts";
import { addMember, removeMember, setMemberRoles, setMemberStatus } from "../membership/membership.ts";
import { refreshSession, signIn, signOut } from "../session/session.ts";
import { createSession, endSession } from "../session/socket-session.ts";
import { resumeTenant, suspendTenant } from "../tenant/suspend.ts";
import { givenMember, givenTenant, PASSWORD, type GivenMember, type GivenTenant } from "../testing.ts";
import { repeatRevocation, REVOKED_TOPIC } from "./revocation.ts";

const database = useDatabase();
useSecretKey("a-secret-key-that-only-tests-know");
const request = { requestId: "test" };

interface Message {
  readonly tenantId: string;
  readonly principalId?: string;
}

let heard: Message[];
let leave: () => Promise<void>;
beforeEach(async () => {
  heard = [];
  leave = await pubsub().subscribe(REVOKED_TOPIC, (payload) => heard.push(JSON.parse(payload ?? "{}") as Message));
});
afterEach(() => leave());

const heardOf = ({ tenantId }: { tenantId: string }) => heard.filter((message) => message.tenantId === tenantId);

interface Scene {
  readonly tenant: GivenTenant;
  readonly member: GivenMember;
  readonly key: { readonly id: string };
}

/** What takes rights away, of whom (undefined: of everybody), and under which action it is audited. */
const REVOKING: readonly {
  readonly what: string;
  readonly action: string;
  readonly of: (scene: Scene) => string | undefined;
  readonly prepare?: (scene: Scene) => Promise<unknown>;
  readonly act: (scene: Scene, prepared: never) => Promise<unknown>;
}[] = [
  {
    what: "other roles",
    action: "identity.member.rolesSet",
    of: ({ member }) => member.caller.principalId,
    act: ({ tenant, member }) => setMemberRoles(tenant.owner, { userId: member.caller.principalId, roles: [] }),
  },
  {
    what: "the suspension of a member",
    action: "identity.member.statusSet",
    of: ({ member }) => member.caller.principalId,
    act: ({ tenant, member }) => setMemberStatus(tenant.owner, member.caller.principalId, "SUSPENDED"),
  },
  {
    what: "the removal of a member",
    action: "identity.member.statusSet",
    of: ({ member }) => member.caller.principalId,
    act: ({ tenant, member }) => removeMember(tenant.owner, member.caller.principalId),
  },
  {
    what: "the return of a member, who may be remembered as gone",
    action: "identity.member.added",
    of: ({ member }) => member.caller.principalId,
    prepare: ({ tenant, member }) => removeMember(tenant.owner, member.caller.principalId),
    act: ({ tenant, member }) => addMember(tenant.owner, { userId: member.caller.principalId, roles: ["viewer"] }),
  },
  {
    what: "a revoked key",
    action: "identity.apiKey.revoked",
    of: ({ key }) => key.id,
    act: ({ tenant, key }) => revokeApiKey(tenant.owner, key.id),
  },
  {
    what: "signing out",
    action: "identity.session.closed",
    of: ({ member }) => member.caller.principalId,
    prepare: ({ member }) => signIn({ email: member.email, password: PASSWORD }, request),
    act: (_scene, { refreshToken }: { refreshToken: string }) => signOut(refreshToken, request),
  },
  {
    what: "a refresh token that came back",
    action: "identity.session.reuseDetected",
    of: ({ member }) => member.caller.principalId,
    prepare: async ({ member }) => {
      const first = await signIn({ email: member.email, password: PASSWORD }, request);
      await refreshSession(first.refreshToken, request);
      return first;
    },
    act: (_scene, { refreshToken }: { refreshToken: string }) =>
      refreshSession(refreshToken, request).catch(() => undefined),
  },
  {
    what: "the end of a session",
    action: "identity.session.closed",
    of: ({ member }) => member.caller.principalId,
    prepare: ({ member }) => createSession(member.caller, undefined),
    act: ({ member }, { sessionId }: { sessionId: string }) => endSession(member.caller, sessionId),
  },
  {
    what: "the suspension of a tenant",
    action: "identity.tenant.suspended",
    of: () => undefined,
    act: ({ tenant }) => suspendTenant(tenant.owner, { by: "OWNER", reason: "An incident" }),
  },
  {
    what: "the resumption of a tenant",
    action: "identity.tenant.resumed",
    of: () => undefined,
    prepare: ({ tenant }) => suspendTenant(tenant.owner, { by: "OWNER", reason: "An incident" }),
    act: ({ tenant }) => resumeTenant(tenant.owner, { by: "OWNER" }),
  },
];

async function givenScene(): Promise<Scene> {
  const tenant = await givenTenant();
  const member = await givenMember("viewer", tenant);
  return { tenant, member, key: await createApiKey(tenant.owner, { name: "Robot", roles: ["partner"] }) };
}

/** The jobs that repeat announcements, and whether each was asked for by the transaction of an audit entry of this action. */
async function repeatsOf({ tenantId }: { tenantId: string }, action: string) {
  const { rows } = await database().owner.query<{ payload: { principalId?: string }; audited: boolean }>(
    `SELECT envelope -> 'payload' AS payload,
            EXISTS (SELECT FROM platform.audit_entry a WHERE a.tenant_id = o.tenant_id AND a.action = $2 AND a.xmin = o.xmin) AS audited
     FROM platform.outbox o WHERE tenant_id = $1 AND name = 'identity.revocation.repeat' ORDER BY created_at`,
    [tenantId, action],
  );
  return rows;
}

describe.each(REVOKING)("$what", ({ action, of, prepare, act }) => {
  it("is audited, told at once, and told again by a job of the same transaction", async () => {
    const scene = await givenScene();
    const prepared = await prepare?.(scene);
    const before = (await repeatsOf(scene.tenant, action)).length;
    await eventually(() => heardOf(scene.tenant).length === before);
    await act(scene, prepared as never);
    const principalId = of(scene);
    const payload = principalId === undefined ? {} : { principalId };
    expect((await repeatsOf(scene.tenant, action)).slice(before)).toEqual([{ payload, audited: true }]);
    await eventually(() => heardOf(scene.tenant).length === before + 1);
    expect(heardOf(scene.tenant).at(-1)).toEqual({ tenantId: scene.tenant.tenantId, ...payload });
  });
});

describe("what takes nothing away", () => {
  it("is told to nobody: refusals, repeats, and tokens that end no session", async () => {
    const [scene, other] = [await givenScene(), await givenTenant()];
    const { tenant, member, key } = scene;
    await revokeApiKey(tenant.owner, key.id);
    await eventually(() => heardOf(tenant).length === 1);
    const refused = [
      removeMember(tenant.owner, tenant.owner.principalId),
      revokeApiKey(other.owner, key.id),
      removeMember(other.owner, member.caller.principalId),
      endSession(other.owner, newId()),
      resumeTenant(nobody(), { by: "PLATFORM" }),
    ];
    expect((await Promise.allSettled(refused)).map(({ status }) => status)).toEqual(refused.map(() => "rejected"));
    await revokeApiKey(tenant.owner, key.id);
    await resumeTenant(tenant.owner, { by: "OWNER" });
    for (const text of ["", "sbr_", "a token of somebody else's"]) await signOut(text, request);
    // What is published later is heard later: had one of these been told, it would have been heard before this.
    await suspendTenant(tenant.owner, { by: "OWNER", reason: "An incident" });
    await eventually(() => heardOf(tenant).length > 1);
    expect(heardOf(tenant).slice(1)).toEqual([{ tenantId: tenant.tenantId }]);
    expect(heardOf(other)).toEqual([]);
  });
});

it("the job says it again, for whoever died before saying it", async () => {
  const { owner } = await givenTenant();
  await repeatRevocation(owner, { principalId: owner.principalId });
  await eventually(() => heardOf(owner).length === 1);
  expect(heardOf(owner)).toEqual([{ tenantId: owner.tenantId, principalId: owner.principalId }]);
});

function nobody(): Caller {
  return {
    tenantId: newId(),
    principalId: newId(),
    principalKind: "USER",
    permissions: new Set(),
    requestId: "test",
  };
}
