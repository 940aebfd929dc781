import {
  callerOf,
  connectionRef,
  defineLoader,
  idCursor,
  toConnection,
  type GraphContext,
} from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { toPublicSocketUrl } from "@sba/platform/public-url";
import { GRAPHQL_PATH } from "@sba/platform/server";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { principalById, PrincipalRef } from "../principal/principal.graphql.ts";
import { createSession, endSession, findOwnSessions, listOwnSessions, type SessionInfo } from "./socket-session.ts";

const SessionRef = builder.objectRef<SessionInfo>("Session").implement({
  description:
    "What somebody who signed in, or opened a socket, may do it by; it ends when they say so, or their rights do.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Session", id) }),
    principal: t.field({
      type: PrincipalRef,
      nullable: true,
      resolve: ({ userId, apiKeyId }, _args, context) => principalById(context).load(userId ?? apiKeyId ?? ""),
    }),
    createdAt: t.field({ type: "DateTime", resolve: ({ createdAt }) => createdAt }),
    expiresAt: t.field({
      type: "DateTime",
      description: "When it ends unless it is kept open.",
      resolve: ({ expiresAt }) => expiresAt,
    }),
    endedAt: t.field({ type: "DateTime", nullable: true, resolve: ({ endedAt }) => endedAt }),
  }),
});

const ownSessionById = defineLoader(findOwnSessions, ({ id }) => id);

builder.asEntity(SessionRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => ownSessionById(context).load(decodeId("Session", id)),
});

const SessionConnection = connectionRef(builder, "Session", SessionRef);

builder.queryField("sessions", (t) =>
  t.field({
    type: SessionConnection,
    description: "Your own sessions that go on, newest first.",
    authScopes: { authenticated: true },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, { first, after }, context) =>
      toConnection(await listOwnSessions(callerOf(context), { first, after }), { after, cursorOf: idCursor }),
  }),
);

interface CreateSessionPayloadShape {
  readonly session: SessionInfo;
  readonly connectionToken: string;
  readonly expiresAt: Date;
}

const CreateSessionPayload = builder.objectRef<CreateSessionPayloadShape>("CreateSessionPayload").implement({
  fields: (t) => ({
    session: t.field({ type: SessionRef, resolve: ({ session }) => session }),
    subscriptionsUrl: t.string({
      description: "Where to connect: a path of the same address when the platform was not told its own.",
      resolve: () => toPublicSocketUrl(GRAPHQL_PATH),
    }),
    connectionToken: t.exposeString("connectionToken", {
      description: "For connection_init, as Bearer; ask for the next one before it ends and send that in a ping.",
    }),
    expiresAt: t.field({
      type: "DateTime",
      description: "When the connection token ends.",
      resolve: ({ expiresAt }) => expiresAt,
    }),
  }),
});

const CreateSessionInput = builder.inputType("CreateSessionInput", {
  fields: (t) => ({
    idempotencyKey: t.string({
      validate: { minLength: 1, maxLength: 255 },
      description: "The same one gives the same session another token: that keeps it open.",
    }),
  }),
});

const EndSessionInput = builder.inputType("EndSessionInput", {
  fields: (t) => ({ sessionId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

builder.mutationFields((t) => ({
  createSession: t.field({
    type: CreateSessionPayload,
    description: "Opens a session for a socket, with a token that lives for minutes and may do what you may do.",
    authScopes: { authenticated: true },
    args: { input: t.arg({ type: CreateSessionInput }) },
    resolve: async (_root, { input }, context) => {
      const { sessionId, accessToken, expiresAt } = await createSession(
        callerOf(context),
        input?.idempotencyKey ?? undefined,
      );
      return { session: await getOwnSession(context, sessionId), connectionToken: accessToken, expiresAt };
    },
  }),
  endSession: t.boolean({
    description: "Ends one of your sessions, or anybody's if you manage members; its sockets close within a second.",
    authScopes: { authenticated: true },
    args: { input: t.arg({ type: EndSessionInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      await endSession(callerOf(context), decodeId("Session", input.sessionId));
      return true;
    },
  }),
}));

async function getOwnSession(context: GraphContext, id: string): Promise<SessionInfo> {
  const session = await ownSessionById(context).load(id);
  if (!session) throw errors.IDENTITY_SESSION_NOT_FOUND();
  return session;
}
