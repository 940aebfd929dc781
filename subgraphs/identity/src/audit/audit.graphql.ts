import type { AuditEntry } from "@sba/platform/generated/prisma/client";
import { callerOf, connectionRef, defineLoader, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { principalById, PrincipalRef } from "../principal/principal.graphql.ts";
import { findAuditEntries, listAuditEntries } from "./audit.ts";

const AuditEntryRef = builder.objectRef<AuditEntry>("AuditEntry").implement({
  description: "Who did what. Entries are never changed.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("AuditEntry", id) }),
    at: t.field({ type: "DateTime", resolve: ({ at }) => at }),
    principal: t.field({
      type: PrincipalRef,
      nullable: true,
      resolve: ({ principalId }, _args, context) => principalById(context).load(principalId),
    }),
    action: t.exposeString("action", { description: "What happened: identity.apiKey.created." }),
    target: t.exposeString("target", { description: "The id or key of what it happened to." }),
    details: t.field({ type: "JSON", resolve: ({ details }) => details }),
    requestId: t.exposeString("requestId"),
  }),
});

const auditEntryById = defineLoader(findAuditEntries, ({ id }) => id);

builder.asEntity(AuditEntryRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => auditEntryById(context).load(decodeId("AuditEntry", id)),
});

const AuditEntryConnection = connectionRef(builder, "AuditEntry", AuditEntryRef);

const AuditFilter = builder.inputType("AuditFilter", {
  fields: (t) => ({
    action: t.string({ validate: { maxLength: 100 } }),
    principalId: t.id({ validate: { maxLength: 64 } }),
    target: t.string({ validate: { maxLength: 200 } }),
    from: t.field({ type: "DateTime", description: "The first moment." }),
    to: t.field({ type: "DateTime", description: "The first moment after." }),
  }),
});

builder.queryField("auditEntries", (t) =>
  t.field({
    type: AuditEntryConnection,
    description: "Who did what in the tenant, newest first.",
    authScopes: { permission: "audit:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
      filter: t.arg({ type: AuditFilter }),
    },
    resolve: async (_root, { first, after, filter }, context) => {
      const page = await listAuditEntries(callerOf(context), {
        first,
        after,
        filter: {
          action: filter?.action ?? undefined,
          principalId: filter?.principalId ? decodeId("Principal", filter.principalId) : undefined,
          target: filter?.target ?? undefined,
          from: filter?.from ?? undefined,
          to: filter?.to ?? undefined,
        },
      });
      return toConnection(page, { after, cursorOf: idCursor });
    },
  }),
);
