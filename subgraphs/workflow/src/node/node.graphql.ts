import { requirePermission } from "@sba/platform/caller";
import { platformErrors } from "@sba/platform/errors";
import { callerOf, defineLoader, type GraphContext } from "@sba/platform/graphql";
import { parseId, type IdType } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { nodeKinds, type NodeKind } from "./node.ts";
import { NodeRef, type NodeShape } from "./node.ref.ts";

const loaders = new Map(
  Object.entries(nodeKinds).map(([type, { find }]) => [type, defineLoader(find, (found) => found.id)]),
);

builder.queryField("node", (t) =>
  t.field({
    type: NodeRef,
    nullable: true,
    description: "Any entity by its id, for whoever may read it.",
    authScopes: { authenticated: true },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: (_root, { id }, context) => getNode(context, id),
  }),
);

/** @throws NODE_NOT_FOUND for what is unknown or another tenant's, PERMISSION_MISSING */
async function getNode(context: GraphContext, id: string): Promise<NodeShape> {
  const parsed = parseId(id);
  const kind = parsed && nodeKinds[parsed.type];
  if (!kind) throw platformErrors.NODE_NOT_FOUND();
  checkAllowed(context, kind, parsed.uuid);
  const found = await loaders.get(parsed.type)?.(context).load(parsed.uuid);
  if (!found) throw platformErrors.NODE_NOT_FOUND();
  return nodeOf(parsed.type, id, found);
}

function checkAllowed(context: GraphContext, { permission, isOwn }: NodeKind, uuid: string): void {
  const caller = callerOf(context);
  if (permission !== null && isOwn?.(caller, uuid) !== true) requirePermission(caller, permission);
}

/** The stub of another subgraph's entity; of our own, the row with the id that its type translates. */
function nodeOf(type: IdType, id: string, found: { readonly id: string }): NodeShape {
  const isOurs = type === "Workflow" || type === "WorkflowRun";
  return isOurs ? { ...found, __typename: type } : { __typename: type, id };
}
