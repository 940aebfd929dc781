import type { EntityReference } from "@sba/platform/graphql";
import type { IdType } from "@sba/platform/ids";
import { builder } from "../builder.ts";

/** What `node(id)` found: the type and public id of an entity; its owner adds the rest. */
export interface NodeShape extends EntityReference {
  readonly __typename: IdType;
}

export const NodeRef = builder.interfaceRef<EntityReference>("Node").implement({
  description: "Anything that has an id of its own.",
  resolveType: (node) => ("__typename" in node ? (node.__typename as string) : undefined),
  fields: (t) => ({ id: t.exposeID("id") }),
});

/** Another subgraph's entity as a node. */
function nodeStub(name: IdType) {
  const stub = builder.objectRef<EntityReference>(name);
  stub.implement({ interfaces: [NodeRef] });
  builder.asEntity(stub, {
    key: builder.keyDirective(builder.selection<{ id: string }>("id"), false),
    resolveReference: (reference) => reference,
  });
  return stub;
}

export const AgentStub = nodeStub("Agent");
export const AgentVersionStub = nodeStub("AgentVersion");
export const ApiKeyStub = nodeStub("ApiKey");
export const ApprovalStub = nodeStub("Approval");
export const ArtifactStub = nodeStub("Artifact");
export const AuditEntryStub = nodeStub("AuditEntry");
export const BudgetStub = nodeStub("Budget");
export const ChunkStub = nodeStub("Chunk");
export const CollectionStub = nodeStub("Collection");
export const DocumentStub = nodeStub("Document");
export const IngestionStub = nodeStub("Ingestion");
export const MemberStub = nodeStub("Member");
export const NoteStub = nodeStub("Note");
export const PrincipalStub = nodeStub("Principal");
export const RunStub = nodeStub("Run");
export const SessionStub = nodeStub("Session");
export const TaskStub = nodeStub("Task");
export const TenantStub = nodeStub("Tenant");
export const ThreadStub = nodeStub("Thread");
export const ToolCallStub = nodeStub("ToolCall");
export const WebhookEndpointStub = nodeStub("WebhookEndpoint");
