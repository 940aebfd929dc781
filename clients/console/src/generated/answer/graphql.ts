/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';
export type AnswerPassageQueryVariables = Exact<{
  id: string | number;
}>;


export type AnswerPassageQuery = { readonly node:
    | { readonly __typename: 'Agent' }
    | { readonly __typename: 'AgentVersion' }
    | { readonly __typename: 'ApiKey' }
    | { readonly __typename: 'Approval' }
    | { readonly __typename: 'Artifact' }
    | { readonly __typename: 'AuditEntry' }
    | { readonly __typename: 'Budget' }
    | { readonly __typename: 'Chunk', readonly id: string, readonly number: number | null, readonly headings: ReadonlyArray<string>, readonly text: string, readonly document: { readonly id: string, readonly title: string, readonly uri: string | null, readonly externalId: string | null, readonly collection: { readonly id: string, readonly name: string } | null } }
    | { readonly __typename: 'Collection' }
    | { readonly __typename: 'Document' }
    | { readonly __typename: 'Ingestion' }
    | { readonly __typename: 'Member' }
    | { readonly __typename: 'Note' }
    | { readonly __typename: 'Principal' }
    | { readonly __typename: 'Run' }
    | { readonly __typename: 'Session' }
    | { readonly __typename: 'Task' }
    | { readonly __typename: 'Tenant' }
    | { readonly __typename: 'Thread' }
    | { readonly __typename: 'ToolCall' }
    | { readonly __typename: 'WebhookEndpoint' }
    | { readonly __typename: 'Workflow' }
    | { readonly __typename: 'WorkflowRun' }
   | null };

export type AnswerArtifactQueryVariables = Exact<{
  id: string | number;
}>;


export type AnswerArtifactQuery = { readonly node:
    | { readonly __typename: 'Agent' }
    | { readonly __typename: 'AgentVersion' }
    | { readonly __typename: 'ApiKey' }
    | { readonly __typename: 'Approval' }
    | { readonly __typename: 'Artifact', readonly id: string, readonly name: string, readonly mediaType: string, readonly sizeBytes: string, readonly downloadUrl: string }
    | { readonly __typename: 'AuditEntry' }
    | { readonly __typename: 'Budget' }
    | { readonly __typename: 'Chunk' }
    | { readonly __typename: 'Collection' }
    | { readonly __typename: 'Document' }
    | { readonly __typename: 'Ingestion' }
    | { readonly __typename: 'Member' }
    | { readonly __typename: 'Note' }
    | { readonly __typename: 'Principal' }
    | { readonly __typename: 'Run' }
    | { readonly __typename: 'Session' }
    | { readonly __typename: 'Task' }
    | { readonly __typename: 'Tenant' }
    | { readonly __typename: 'Thread' }
    | { readonly __typename: 'ToolCall' }
    | { readonly __typename: 'WebhookEndpoint' }
    | { readonly __typename: 'Workflow' }
    | { readonly __typename: 'WorkflowRun' }
   | null };


export const AnswerPassageDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"AnswerPassage"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"id"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"node"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"id"},"value":{"kind":"Variable","name":{"kind":"Name","value":"id"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"__typename"}},{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Chunk"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"number"}},{"kind":"Field","name":{"kind":"Name","value":"headings"}},{"kind":"Field","name":{"kind":"Name","value":"text"}},{"kind":"Field","name":{"kind":"Name","value":"document"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"title"}},{"kind":"Field","name":{"kind":"Name","value":"uri"}},{"kind":"Field","name":{"kind":"Name","value":"externalId"}},{"kind":"Field","name":{"kind":"Name","value":"collection"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"name"}}]}}]}}]}}]}}]}}]} as unknown as DocumentNode<AnswerPassageQuery, AnswerPassageQueryVariables>;
export const AnswerArtifactDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"AnswerArtifact"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"id"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"node"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"id"},"value":{"kind":"Variable","name":{"kind":"Name","value":"id"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"__typename"}},{"kind":"InlineFragment","typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"Artifact"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"mediaType"}},{"kind":"Field","name":{"kind":"Name","value":"sizeBytes"}},{"kind":"Field","name":{"kind":"Name","value":"downloadUrl"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"expiresInSeconds"},"value":{"kind":"IntValue","value":"300"}}]}]}}]}}]}}]} as unknown as DocumentNode<AnswerArtifactQuery, AnswerArtifactQueryVariables>;