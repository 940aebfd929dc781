import {
  AuditEntriesDocument,
  CancelRunDocument,
  CreateApiKeyDocument,
  CreateSessionDocument,
  EndSessionDocument,
  MeDocument,
  MembersDocument,
  ResumeTenantDocument,
  RevokeApiKeyDocument,
  RunDocument,
  RunEventsDocument,
  SetMemberRolesDocument,
  StartRunDocument,
  SuspendTenantDocument,
  type Client,
} from "@sba/client";
import { describe, expect, it } from "vitest";
import { QUESTION } from "../ask-the-handbook/main-job.ts";
import { collectEvents, eventually, pendingApproval, useSystem, type RunEvent } from "../story.ts";

const story = useSystem();

/** All of it in the first tenant, which is left as it was found. */
const TENANT = 0;
const OTHER_TENANT = 1;
const UNAUTHENTICATED = { code: "UNAUTHENTICATED" };

/** Somebody who watches a run: what they have seen, and how it ended for them. */
function watch(client: Client, runId: string) {
  const seen: RunEvent[] = [];
  const caughtUp = Promise.withResolvers<void>();
  const follow = async (): Promise<void> => {
    for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId })) {
      seen.push(runEvents);
      if (runEvents.__typename === "ApprovalRequested") caughtUp.resolve();
    }
  };
  const ended = follow().then(
    () => undefined,
    (error: unknown) => error,
  );
  // Who is refused at once never catches up.
  void ended.then(() => {
    caughtUp.resolve();
  });
  return { seen, ended, caughtUp: caughtUp.promise };
}

/** A run that waits for a person, so that its stream stays open for as long as the story needs. */
async function aRunThatWaits(client: Client): Promise<string> {
  const { startRun } = await client.mutate(StartRunDocument, {
    agentKey: "assistant",
    prompt: `Create a task to look again at ${Date.now()}`,
  });
  await pendingApproval(client, startRun.id);
  return startRun.id;
}

const contiguous = (events: readonly RunEvent[]) =>
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));

describe("what is taken away is no longer seen", () => {
  it("by a revoked key, whose stream and requests end, while others see every event", async () => {
    const owner = story().client("owner", TENANT);
    const { createApiKey } = await owner.mutate(CreateApiKeyDocument, { name: "Robot", roles: ["operator"] });
    const robot = story().clientWith(createApiKey.key ?? "");
    const runId = await aRunThatWaits(robot);
    const [robots, viewers] = [watch(robot, runId), watch(story().client("viewer", TENANT), runId)];
    await Promise.all([robots.caughtUp, viewers.caughtUp]);
    const { revokeApiKey } = await owner.mutate(RevokeApiKeyDocument, { apiKeyId: createApiKey.apiKey.id });
    expect(revokeApiKey.revokedAt).toEqual(expect.any(String));
    expect(await robots.ended).toMatchObject(UNAUTHENTICATED);
    await expect(robot.query(MeDocument)).rejects.toMatchObject(UNAUTHENTICATED);
    await expect(robot.subscribe(RunEventsDocument, { runId }).next()).rejects.toMatchObject(UNAUTHENTICATED);
    await owner.mutate(CancelRunDocument, { runId });
    expect(await viewers.ended).toBeUndefined();
    contiguous(viewers.seen);
    expect(viewers.seen.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "CANCELLED" } });
    expect(robots.seen.length).toBeLessThan(viewers.seen.length);
    // Who did what to the key is in the log.
    const { auditEntries } = await owner.query(AuditEntriesDocument, { filter: { target: createApiKey.apiKey.id } });
    const { me } = await owner.query(MeDocument);
    expect(auditEntries.edges.map(({ node }) => [node.action, node.principal?.id])).toEqual([
      ["identity.apiKey.revoked", me.id],
      ["identity.apiKey.created", me.id],
    ]);
  });

  it("by a member whose role is taken, until it is given back", async () => {
    const [owner, viewer] = [story().client("owner", TENANT), story().client("viewer", TENANT)];
    const runId = await aRunThatWaits(owner);
    const [viewers, owners] = [watch(viewer, runId), watch(owner, runId)];
    await Promise.all([viewers.caughtUp, owners.caughtUp]);
    const { me } = await viewer.query(MeDocument);
    const { members } = await owner.query(MembersDocument, { first: 100 });
    const memberId = members.edges.find(({ node }) => node.principal?.id === me.id)!.node.id;
    await expect(
      viewer.mutate(SetMemberRolesDocument, { memberId, roles: ["owner"] }),
      "nobody raises themselves",
    ).rejects.toMatchObject({ code: "FORBIDDEN" });
    await owner.mutate(SetMemberRolesDocument, { memberId, roles: ["partner"] });
    try {
      expect(await viewers.ended).toMatchObject({ code: "FORBIDDEN", reason: "PERMISSION_MISSING" });
      await expect(viewer.query(RunDocument, { id: runId })).rejects.toMatchObject({ code: "FORBIDDEN" });
      expect((await viewer.query(MeDocument)).me.permissions).toEqual(["usage:read"]);
    } finally {
      await owner.mutate(SetMemberRolesDocument, { memberId, roles: ["viewer"] });
    }
    const { run } = await eventually(() => viewer.query(RunDocument, { id: runId }));
    expect(run.status).toBe("AWAITING_APPROVAL");
    await owner.mutate(CancelRunDocument, { runId });
    expect(await owners.ended).toBeUndefined();
    contiguous(owners.seen);
  });

  it("on the socket of a session that was ended, and of no other", async () => {
    const operator = story().client("operator", TENANT);
    const runId = await aRunThatWaits(operator);
    const { createSession } = await operator.mutate(CreateSessionDocument, {});
    expect(createSession.subscriptionsUrl).toBe((await story().ready()).subscriptionsUrl);
    const [sessions, operators] = [
      watch(story().clientWith(createSession.connectionToken), runId),
      watch(operator, runId),
    ];
    await Promise.all([sessions.caughtUp, operators.caughtUp]);
    expect(await operator.mutate(EndSessionDocument, { sessionId: createSession.session.id })).toEqual({
      endSession: true,
    });
    expect(await sessions.ended).toMatchObject(UNAUTHENTICATED);
    await operator.mutate(CancelRunDocument, { runId });
    expect(await operators.ended).toBeUndefined();
    contiguous(operators.seen);
  });

  it("in a suspended tenant, whose runs rest and lose nothing, while others work", async () => {
    const [owner, operator] = [story().client("owner", TENANT), story().client("operator", TENANT)];
    const waiting = await aRunThatWaits(operator);
    const watched = watch(operator, waiting);
    await watched.caughtUp;
    const start = (client: Client) => client.mutate(StartRunDocument, { agentKey: "handbook", prompt: QUESTION });
    const started = await Promise.all([1, 2, 3].map(() => start(operator)));
    const { suspendTenant } = await owner.mutate(SuspendTenantDocument, { reason: "An incident" });
    try {
      expect(suspendTenant.suspension).toMatchObject({ by: "OWNER", reason: "An incident" });
      expect(await watched.ended).toMatchObject({ code: "FORBIDDEN", reason: "TENANT_SUSPENDED" });
      for (const client of [operator, owner])
        await expect(start(client)).rejects.toMatchObject({ code: "FORBIDDEN", reason: "TENANT_SUSPENDED" });
      await expect(operator.query(RunDocument, { id: waiting })).rejects.toMatchObject({ reason: "TENANT_SUSPENDED" });
      const elsewhere = await start(story().client("operator", OTHER_TENANT));
      expect(
        (await collectEvents(story().client("operator", OTHER_TENANT), elsewhere.startRun.id)).at(-1),
      ).toMatchObject({
        __typename: "RunFinished",
      });
    } finally {
      expect((await owner.mutate(ResumeTenantDocument)).resumeTenant.suspension).toBeNull();
    }
    // Rights that come back are heard as fast as those that are taken, on each gateway by itself.
    await eventually(() => collectEvents(operator, started[0]!.startRun.id));
    for (const { startRun } of started) {
      const events = await collectEvents(operator, startRun.id);
      contiguous(events);
      expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    }
    await eventually(() => operator.mutate(CancelRunDocument, { runId: waiting }));
    const events = await collectEvents(operator, waiting);
    contiguous(events);
  });
});
