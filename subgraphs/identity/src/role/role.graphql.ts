import { builder } from "../builder.ts";
import { findRole, type Role } from "./role.ts";

export const RoleRef = builder.objectRef<Role>("Role").implement({
  description: "A named set of permissions.",
  fields: (t) => ({
    key: t.exposeID("key"),
    name: t.exposeString("name"),
    permissions: t.stringList({ resolve: (role) => [...role.permissions] }),
  }),
});

builder.asEntity(RoleRef, {
  key: builder.selection<{ key: string }>("key"),
  resolveReference: ({ key }) => findRole(key),
});
